"""Trains the bundled CLIP: an open_clip model that `local-dir:` loads, from the pretrained trunk.

Three things are asked of one embedding space: a picture finds its caption, a cut-out object its
phrase, and a patch of the dense features (see trunk.encode) the phrase of what it shows.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CustomTextCLIP
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from pipeline.demo.optimise import make_optimizers, optimise
from pipeline.demo.pool import NUM_PAIRS, PAIRS, PHRASES, TRAIN_SEEDS, Pool, load_pool
from pipeline.demo.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZE, TEXTURES
from pipeline.demo.tokenizer import MAX_LENGTH, PAD, SEP, build_tokenizer
from pipeline.demo.trunk import (
    EMBED_DIM,
    HEAD_WIDTH,
    LAYERS,
    MEAN,
    STD,
    WIDTH,
    DenseHeads,
    attend,
    encode,
    load_trunk,
)
from pipeline.demo.views import PATCH, Batch, sample_batch

SCENERY = tuple(
    f"{'' if texture == 'plain' else texture + ' '}{ground} background"
    for ground in BACKGROUNDS
    for texture in TEXTURES
)


def model_config(vocabulary_size: int) -> dict:
    """open_clip's `model_cfg`; the tokenizer is read from the model's own folder."""
    return {
        "embed_dim": EMBED_DIM,
        "custom_text": True,
        "vision_cfg": {
            "image_size": SIZE,
            "layers": LAYERS,
            "width": WIDTH,
            "head_width": HEAD_WIDTH,
            "patch_size": PATCH,
            "no_ln_pre": True,
        },
        "text_cfg": {
            "context_length": MAX_LENGTH,
            "vocab_size": vocabulary_size,
            "hf_tokenizer_name": "tokenizer.json",
            "tokenizer_kwargs": {},
            "width": 128,
            "heads": 128 // HEAD_WIDTH,
            "layers": 3,
            "pool_type": "eos",
            "eos_id": SEP,
            "pad_id": PAD,
        },
    }


PREPROCESS_CONFIG = {
    "size": [SIZE, SIZE],
    "mode": "RGB",
    "mean": [MEAN] * 3,
    "std": [STD] * 3,
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


def build_clip(vocabulary_size: int) -> CustomTextCLIP:
    """An untrained model with the shapes of `model_config`."""
    config = model_config(vocabulary_size)
    config.pop("custom_text")
    return CustomTextCLIP(**config)


def encode_texts(text: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Unit text embeddings [n, EMBED_DIM]; as open_clip's, without the work on padding.

    Attention is causal and the pooled token is [SEP], so padding behind it cannot matter.
    """
    ids = ids[:, : int((ids != PAD).sum(1).max())]
    length = ids.shape[1]
    mask = text.attn_mask[:length, :length]
    x = text.token_embedding(ids) + text.positional_embedding[:length]
    for block in text.transformer.resblocks:
        x = x + attend(block.attn, block.ln_1(x), mask)
        x = x + block.mlp(block.ln_2(x))
    ends = (ids == SEP).int().argmax(1)
    pooled = text.ln_final(x[torch.arange(len(ids)), ends]) @ text.text_projection
    return F.normalize(pooled.float(), dim=-1)


def near_miss(pool: Pool, row: int, rng: np.random.Generator) -> str:
    """The caption of a scene that differs from `row` in one word: what retrieval confuses."""
    pairs = [PAIRS[p] for p in pool.pairs[row] if p >= 0]
    ground, texture = list(BACKGROUNDS)[pool.backgrounds[row]], TEXTURES[pool.textures[row]]
    kind = rng.random()
    if kind < 0.8:
        number = int(rng.integers(len(pairs)))
        colour, shape = pairs[number]
        if kind < 0.25:
            colour = str(rng.choice([c for c in COLOURS if c != colour]))
        else:
            shape = str(rng.choice([s for s in SHAPES if s != shape]))
        if (colour, shape) in pairs:
            return near_miss(pool, row, rng)
        pairs[number] = (colour, shape)
        pairs.sort(key=PAIRS.index)
    elif kind < 0.88:
        ground = str(rng.choice([g for g in BACKGROUNDS if g != ground]))
    else:
        texture = str(rng.choice([t for t in TEXTURES if t != texture]))
    phrases = [f"a {colour} {shape}" for colour, shape in pairs]
    listed = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    return f"{listed} on a {'' if texture == 'plain' else texture + ' '}{ground} background"


class Losses(nn.Module):
    """All losses of one batch; its own parameters are thrown away after training."""

    def __init__(self, model: CustomTextCLIP, pool: Pool, heads: DenseHeads) -> None:
        super().__init__()
        self.dense_scale = nn.Parameter(torch.tensor(2.7))
        self.heads = heads
        self._model, self._pool = [model], pool  # in a list: not a submodule of the losses
        self._tokenizer = build_tokenizer()
        self._names = [self.ids(PHRASES + SCENERY), self.ids([f"a {t}" for t in PHRASES + SCENERY])]

    def ids(self, texts: Sequence[str]) -> torch.Tensor:
        """Token ids int64 [n, length], padded."""
        return self._tokenizer(list(texts), padding=True, return_tensors="pt").input_ids

    def forward(self, batch: Batch, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Named, weighted losses of `batch`, whose crops come last."""
        model, pool = self._model[0], self._pool
        mixed, alone = encode(model.visual, batch.images)
        whole = batch.target < 0
        rows = batch.rows[whole].numpy()
        captions = [str(c) for c in pool.prompts[rows]]
        captions += [near_miss(pool, int(row), rng) for row in rows]
        names = encode_texts(model.text, self._names[int(rng.integers(2))])
        texts = encode_texts(model.text, self.ids(captions))
        images = F.normalize((mixed[:, 0] @ model.visual.proj).float(), dim=-1)
        patches = F.normalize((alone[:, 1:] @ model.visual.proj).float(), dim=-1)
        scale = model.logit_scale.exp().clamp(max=100)
        crops = (scale * images[~whole] @ names[:NUM_PAIRS].T).float()
        dense = self._dense(patches, names, batch)
        readout = self.heads.loss(mixed, alone, batch, pool)
        return {
            "match": _contrast((scale * images[whole] @ texts.T).float(), captions),
            "crops": 0.5 * F.cross_entropy(crops, batch.target[~whole]),
            "what": dense[0],
            "where": 0.3 * dense[1],
            "readout": 0.5 * torch.stack(list(readout.values())).sum(),
        }

    def _dense(
        self, patches: torch.Tensor, names: torch.Tensor, batch: Batch
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Which name a patch shows, over names; and where a name is shown, over patches."""
        scores = (self.dense_scale.exp() * patches @ names.T).float()
        rows = batch.rows.numpy()
        scenery = self._pool.backgrounds[rows] * len(TEXTURES) + self._pool.textures[rows]
        wanted = torch.zeros_like(scores)
        wanted[..., :NUM_PAIRS] = batch.patches[..., :NUM_PAIRS]
        index = torch.from_numpy(scenery)[:, None, None] + NUM_PAIRS
        wanted.scatter_(2, index.expand(-1, wanted.shape[1], 1), batch.patches[..., NUM_PAIRS:])
        ground = batch.patches[..., -1]
        weight = torch.where(ground > 0.99, 0.3, 1.0)
        what = -(wanted * scores.log_softmax(-1)).sum(-1).mul(weight).sum() / weight.sum()
        area = batch.patches[..., :NUM_PAIRS].transpose(1, 2)
        total = area.sum(-1)
        spread = (area * scores[..., :NUM_PAIRS].transpose(1, 2).log_softmax(-1)).sum(-1)
        shown = total > 1
        where = -(spread[shown] / total[shown]).mean()
        return what, where


def _contrast(logits: torch.Tensor, captions: list[str]) -> torch.Tensor:
    """Symmetric cross entropy; columns behind the square are wrong captions. Equal captions of
    two pictures are not held against each other."""
    size = len(logits)
    words = np.array(captions)
    same = torch.from_numpy(words[:size, None] == words[None, :])
    same[torch.arange(size), torch.arange(size)] = False
    logits = logits.masked_fill(same, -1e4)
    labels = torch.arange(size)
    to_text = F.cross_entropy(logits, labels)
    return (to_text + F.cross_entropy(logits[:, :size].T, labels)) / 2


def train(
    work: Path, out: Path, seed: int = 0, steps: int = 500, minutes: float | None = None
) -> None:
    """Trains from `work`'s trunk and pool (both made where missing) and writes `out`.

    `out` gets open_clip_config.json, open_clip_model.safetensors (float16) and the tokenizer.
    """
    pool = load_pool(work, TRAIN_SEEDS)
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    model = build_clip(len(build_tokenizer()))
    model.visual.load_state_dict(load_trunk(work, seed).state_dict())
    heads = DenseHeads()
    heads.load_state_dict(load_file(work / "heads.safetensors"))
    losses = Losses(model, pool, heads)

    def step_loss(step: int) -> dict[str, torch.Tensor]:
        if step % 50 == 49:
            save_clip(model, work / "clip")
        return losses(sample_batch(pool, rng, 96, 24), rng)

    start = time.monotonic()
    done = optimise(make_optimizers([model, losses], 2e-3), step_loss, steps, minutes)
    save_clip(model, work / "clip")
    save_clip(model, out)
    record = {"steps": done, "minutes": round((time.monotonic() - start) / 60, 1), "seed": seed}
    (work / "clip.json").write_text(json.dumps(record))


def save_clip(model: CustomTextCLIP, out: Path) -> None:
    """Writes the folder that `open_clip.create_model_and_transforms("local-dir:…")` reads."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(out)
    config = {"model_cfg": model_config(len(tokenizer)), "preprocess_cfg": PREPROCESS_CONFIG}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    state = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(state, out / "open_clip_model.safetensors")
    (out / "open_clip_model.safetensors").chmod(0o644)  # safetensors makes it the owner's alone


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="cache of scenes and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--minutes", type=float, help="stop by the clock; not reproducible")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.work, options.out, options.seed, options.steps, options.minutes)
