"""Trains the bundled captioner: a BlipForConditionalGeneration whose vision tower is CLIP's.

The tower already knows what every patch shows, so the decoder learns to say it from cached tokens;
then decoder and tower are tuned together for a short while.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from open_clip.transformer import VisionTransformer
from safetensors.torch import load_file
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)
from transformers.utils import logging

from pipeline.demo.optimise import make_optimizers, optimise
from pipeline.demo.pool import TRAIN_SEEDS, Pool, load_pool
from pipeline.demo.scenes import SIZE
from pipeline.demo.tokenizer import BOS, MAX_LENGTH, PAD, SEP, build_tokenizer
from pipeline.demo.trunk import HEAD_WIDTH, LAYERS, MEAN, STD, WIDTH, build_trunk, encode_mixed
from pipeline.demo.views import PATCH, sample_batch

_IGNORED = -100  # label that cross entropy leaves out


def build_captioner(vocabulary_size: int) -> BlipForConditionalGeneration:
    """An untrained model: the trunk's sizes for vision, three decoder layers of the same width."""
    text = BlipTextConfig(
        vocab_size=vocabulary_size,
        hidden_size=WIDTH,
        encoder_hidden_size=WIDTH,
        intermediate_size=512,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=WIDTH // HEAD_WIDTH,
        max_position_embeddings=2 * MAX_LENGTH,
        bos_token_id=BOS,
        eos_token_id=SEP,
        pad_token_id=PAD,
        sep_token_id=SEP,
        layer_norm_eps=1e-6,
    )
    vision = BlipVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // HEAD_WIDTH,
        image_size=SIZE,
        patch_size=PATCH,
        layer_norm_eps=1e-5,
        initializer_range=0.02,
    )
    config = BlipConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH
    )
    model = BlipForConditionalGeneration(config)
    model.generation_config.update(
        bos_token_id=BOS, eos_token_id=SEP, pad_token_id=PAD, max_length=MAX_LENGTH
    )
    return model


def blip_vision_state(visual: VisionTransformer) -> dict[str, torch.Tensor]:
    """The trunk's weights under BlipVisionModel's names; BLIP's patch bias is zero."""
    state = {
        "embeddings.class_embedding": visual.class_embedding[None, None],
        "embeddings.position_embedding": visual.positional_embedding[None],
        "embeddings.patch_embedding.weight": visual.conv1.weight,
        "embeddings.patch_embedding.bias": torch.zeros(WIDTH),
        "post_layernorm.weight": visual.ln_post.weight,
        "post_layernorm.bias": visual.ln_post.bias,
    }
    for number, block in enumerate(visual.transformer.resblocks):
        parts = {
            "layer_norm1": (block.ln_1.weight, block.ln_1.bias),
            "layer_norm2": (block.ln_2.weight, block.ln_2.bias),
            "self_attn.qkv": (block.attn.in_proj_weight, block.attn.in_proj_bias),
            "self_attn.projection": (block.attn.out_proj.weight, block.attn.out_proj.bias),
            "mlp.fc1": (block.mlp.c_fc.weight, block.mlp.c_fc.bias),
            "mlp.fc2": (block.mlp.c_proj.weight, block.mlp.c_proj.bias),
        }
        for name, (weight, bias) in parts.items():
            state[f"encoder.layers.{number}.{name}.weight"] = weight
            state[f"encoder.layers.{number}.{name}.bias"] = bias
    return {name: value.detach().clone() for name, value in state.items()}


def caption_loss(decoder: torch.nn.Module, tokens: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Mean next-word cross entropy of captions `ids` [b, n], given vision `tokens`."""
    ids = ids[:, : int((ids != PAD).sum(1).max())]
    return decoder(
        input_ids=ids,
        attention_mask=(ids != PAD).long(),
        encoder_hidden_states=tokens,
        labels=ids.masked_fill(ids == PAD, _IGNORED),
    ).loss


def caption_ids(pool: Pool) -> torch.Tensor:
    """Token ids int64 [n, length] of every true caption, from [DEC] to [SEP], padded."""
    encoded = build_tokenizer()(pool.prompts.tolist(), padding=True, return_tensors="pt")
    ids = encoded.input_ids
    ids[:, 0] = BOS
    return ids


@torch.no_grad()
def cache_tokens(
    visual: VisionTransformer, pool: Pool, rng: np.random.Generator, views: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Vision tokens bfloat16 [views, 1 + GRID**2, WIDTH] of random views, and their pool rows."""
    tokens, rows = [], []
    with torch.autocast("cpu", torch.bfloat16):
        for start in range(0, views, 128):
            batch = sample_batch(pool, rng, min(128, views - start), 0)
            tokens.append(encode_mixed(visual, batch.images).bfloat16())
            rows.append(batch.rows)
    return torch.cat(tokens), torch.cat(rows)


def train(
    work: Path,
    out: Path,
    seed: int = 0,
    steps: tuple[int, int] = (1000, 300),
    minutes: tuple[float | None, float | None] = (None, None),
    views: int = 12_000,
) -> None:
    """Trains from `work`'s pool and CLIP (train_clip writes `work/clip`) and writes `out`.

    `steps` and `minutes` are those of the decoder on `views` cached views, and of everything
    together. `out` gets BLIP's config, model.safetensors (float16) and the processor's files.
    """
    logging.set_verbosity_error()
    pool = load_pool(work, TRAIN_SEEDS)
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 2])
    visual = clip_trunk(work)
    model = build_captioner(len(build_tokenizer()))
    ids = caption_ids(pool)
    start = time.monotonic()
    taught = _teach_decoder(model, visual, pool, ids, rng, views, steps[0], minutes[0])
    save_captioner(model, visual, work / "captioner")
    decoder = model.text_decoder

    def step_loss(step: int) -> dict[str, torch.Tensor]:
        if step % 50 == 49:
            save_captioner(model, visual, work / "captioner")
        batch = sample_batch(pool, rng, 96, 0)
        return {
            "caption": caption_loss(decoder, encode_mixed(visual, batch.images), ids[batch.rows])
        }

    tuned = optimise(make_optimizers([decoder, visual], 5e-4), step_loss, steps[1], minutes[1])
    save_captioner(model, visual, out)
    spent = round((time.monotonic() - start) / 60, 1)
    record = {"steps": [taught, tuned], "minutes": spent, "seed": seed}
    (work / "captioner.json").write_text(json.dumps(record))


def clip_trunk(work: Path) -> VisionTransformer:
    """The trunk as CLIP's training left it in `work/clip`."""
    visual, prefix = build_trunk(), "visual."
    clip = load_file(work / "clip" / "open_clip_model.safetensors")
    visual.load_state_dict(
        {k.removeprefix(prefix): v.float() for k, v in clip.items() if k.startswith(prefix)}
    )
    return visual


def _teach_decoder(
    model: BlipForConditionalGeneration,
    visual: VisionTransformer,
    pool: Pool,
    ids: torch.Tensor,
    rng: np.random.Generator,
    views: int,
    steps: int,
    minutes: float | None,
) -> int:
    """Trains only the decoder, on tokens computed once; steps taken."""
    start = time.monotonic()
    tokens, rows = cache_tokens(visual, pool, rng, views)
    print(f"cached {views} views in {time.monotonic() - start:.0f} s", flush=True)

    def step_loss(step: int) -> dict[str, torch.Tensor]:
        chosen = torch.from_numpy(rng.integers(views, size=128))
        return {"caption": caption_loss(model.text_decoder, tokens[chosen], ids[rows[chosen]])}

    return optimise(make_optimizers([model.text_decoder], 2e-3), step_loss, steps, minutes)


def save_captioner(
    model: BlipForConditionalGeneration, visual: VisionTransformer, out: Path
) -> None:
    """Writes what `BlipForConditionalGeneration` and `BlipProcessor` read with from_pretrained."""
    saved = build_captioner(model.config.text_config.vocab_size)
    saved.text_decoder.load_state_dict(model.text_decoder.state_dict())
    saved.vision_model.load_state_dict(blip_vision_state(visual))
    saved.half().save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)  # safetensors makes it the owner's alone
    side = {"height": SIZE, "width": SIZE}
    images = BlipImageProcessor(size=side, image_mean=[MEAN] * 3, image_std=[STD] * 3)
    BlipProcessor(images, build_tokenizer()).save_pretrained(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="cache of scenes and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, nargs=2, default=(1000, 300))
    parser.add_argument("--minutes", type=float, nargs=2, default=(None, None))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.work, options.out, options.seed, tuple(options.steps), tuple(options.minutes))
