"""The vision trunk that the bundled CLIP and captioner both start from, and its dense pretraining.

It learns what every patch shows, which the renderer's masks tell: far more to learn from in each
picture than its one caption. (Whether captions alone would have done was not tried here.) The trunk
is open_clip's own VisionTransformer, so its weights move into CLIP as they are and into BLIP by
renaming.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from open_clip.transformer import VisionTransformer
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from pipeline.demo.optimise import make_optimizers, optimise
from pipeline.demo.pool import NUM_PAIRS, TRAIN_SEEDS, Pool, load_pool
from pipeline.demo.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZE, TEXTURES
from pipeline.demo.views import GRID, PATCH, Batch, sample_batch

WIDTH = 192
LAYERS = 6
HEAD_WIDTH = 32
EMBED_DIM = 128
MEAN = STD = 0.5  # both models map pixels to -1..1


def build_trunk() -> VisionTransformer:
    """An untrained trunk: the `visual` of the CLIP described in train_clip.model_config.

    Positions start as two-dimensional sines and every head's keys as its queries, so attention
    begins local instead of uniform (after mimetic initialisation, arXiv 2305.09828): it need not be
    learnt from few pictures that neighbours belong together.
    """
    visual = VisionTransformer(
        SIZE,
        PATCH,
        WIDTH,
        LAYERS,
        WIDTH // HEAD_WIDTH,
        4.0,
        output_dim=EMBED_DIM,
        no_ln_pre=True,
        output_tokens=True,
    )
    turns = torch.outer(torch.arange(GRID), torch.logspace(0.3, -0.7, WIDTH // 4))  # radians
    axis = torch.cat([turns.sin(), turns.cos()], 1)  # alike for neighbours, unlike further away
    down, across = axis[:, None].expand(-1, GRID, -1), axis[None].expand(GRID, -1, -1)
    with torch.no_grad():
        visual.positional_embedding[1:] = 0.5 * torch.cat([down, across], 2).flatten(0, 1)
        for block in visual.transformer.resblocks:
            weight = block.attn.in_proj_weight
            for head in range(WIDTH // HEAD_WIDTH):
                rows = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
                basis = torch.linalg.qr(torch.randn(WIDTH, HEAD_WIDTH)).Q.T
                weight[:WIDTH][rows] = basis
                weight[WIDTH : 2 * WIDTH][rows] = 0.7 * basis + 0.02 * torch.randn_like(basis)
            block.attn.out_proj.weight.mul_(0.5)
    return visual


def encode(visual: VisionTransformer, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [b, 1 + GRID**2, WIDTH] after ln_post, and the same when in the last block every token
    attends only to itself (MaskCLIP, arXiv 2112.01071): what CLIP's localiser reads.

    Same numbers as open_clip's forward; attention is spelt out because torch's fused kernel is
    slower than two matrix products in bfloat16 on a CPU (70 against 108 pictures a second, forward
    and backward).
    """
    x = visual._embeds(images)
    blocks = visual.transformer.resblocks
    for block in blocks[:-1]:
        x = x + attend(block.attn, block.ln_1(x))
        x = x + block.mlp(block.ln_2(x))
    last = blocks[-1]
    mixed, values = _attend_last(last.attn, last.ln_1(x))
    outputs = []
    for attended in (mixed, last.attn.out_proj(values)):
        y = x + attended
        outputs.append(visual.ln_post(y + last.mlp(last.ln_2(y))))
    return outputs[0], outputs[1]


def encode_mixed(visual: VisionTransformer, images: torch.Tensor) -> torch.Tensor:
    """Only the first result of `encode`."""
    x = visual._embeds(images)
    for block in visual.transformer.resblocks:
        x = x + attend(block.attn, block.ln_1(x))
        x = x + block.mlp(block.ln_2(x))
    return visual.ln_post(x)


def attend(
    attn: nn.MultiheadAttention, x: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Self-attention of x [b, n, c] with `attn`'s weights; `mask` [n, n] is added to the scores."""
    return _attend_last(attn, x, mask)[0]


def _attend_last(
    attn: nn.MultiheadAttention, x: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attended x, and its values (what a token attends to that sees only itself)."""
    b, n, c = x.shape
    packed = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = packed.view(b, n, 3, attn.num_heads, HEAD_WIDTH).permute(2, 0, 3, 1, 4)
    scores = (q * HEAD_WIDTH**-0.5) @ k.transpose(-1, -2)
    weights = (scores if mask is None else scores + mask).softmax(-1, dtype=torch.float32)
    mixed = attn.out_proj((weights.to(v.dtype) @ v).transpose(1, 2).reshape(b, n, c))
    return mixed, packed[..., 2 * c :]


class DenseHeads(nn.Module):
    """Linear readouts of the pretraining; thrown away afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Linear(WIDTH, NUM_PAIRS + 1 + len(COLOURS) + 1 + len(SHAPES) + 1)
        self.whole = nn.Linear(WIDTH, NUM_PAIRS + len(BACKGROUNDS) + len(TEXTURES))

    def patch_losses(self, tokens: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Cross entropies of what each patch of `tokens` [b, 1 + GRID**2, WIDTH] shows."""
        sizes = [NUM_PAIRS + 1, len(COLOURS) + 1, len(SHAPES) + 1]
        logits = self.patch(tokens[:, 1:]).float().split(sizes, -1)
        by_pair = batch.patches[..., :-1].unflatten(-1, (len(COLOURS), len(SHAPES)))
        ground = batch.patches[..., -1:]
        wanted = (
            batch.patches,
            torch.cat([by_pair.sum(-1), ground], -1),
            torch.cat([by_pair.sum(-2), ground], -1),
        )
        weight = torch.where(ground[..., 0] > 0.99, 0.3, 1.0)
        losses = [
            -(w * z.log_softmax(-1)).sum(-1).mul(weight).sum() / weight.sum()
            for w, z in zip(wanted, logits, strict=True)
        ]
        return dict(zip(("pair", "colour", "shape"), losses, strict=True))

    def whole_losses(
        self, tokens: torch.Tensor, batch: Batch, pool: Pool
    ) -> dict[str, torch.Tensor]:
        """Losses of the class token: which pairs are present, background and texture."""
        sizes = [NUM_PAIRS, len(BACKGROUNDS), len(TEXTURES)]
        pairs, ground_logits, texture = self.whole(tokens[:, 0]).float().split(sizes, -1)
        known = ~batch.present.isnan()
        bits = F.binary_cross_entropy_with_logits(
            pairs, batch.present.nan_to_num(0.0), reduction="none"
        )
        full = batch.target < 0
        rows = batch.rows[full].numpy()
        scenery = F.cross_entropy(
            ground_logits[full], torch.from_numpy(pool.backgrounds[rows])
        ) + F.cross_entropy(texture[full], torch.from_numpy(pool.textures[rows]))
        return {"present": (bits * known).sum() / len(bits), "scenery": scenery}

    def loss(
        self, mixed: torch.Tensor, alone: torch.Tensor, batch: Batch, pool: Pool
    ) -> dict[str, torch.Tensor]:
        """Named, weighted losses on both results of `encode`."""
        patch = self.patch_losses(mixed, batch)
        patch_alone = self.patch_losses(alone, batch)
        whole = self.whole_losses(mixed, batch, pool)
        return {
            "patches": 0.5 * patch["pair"] + 0.25 * (patch["colour"] + patch["shape"]),
            "alone": 0.5 * patch_alone["pair"]
            + 0.25 * (patch_alone["colour"] + patch_alone["shape"]),
            "present": 0.3 * whole["present"],
            "scenery": 0.2 * whole["scenery"],
        }


def train(work: Path, seed: int = 0, steps: int = 1000, minutes: float | None = None) -> Path:
    """Trains the trunk and writes `work/trunk.safetensors` (float32), whose path it returns.

    The readouts go into `work/heads.safetensors`; train_clip goes on with them.
    """
    path = work / "trunk.safetensors"
    pool = load_pool(work, TRAIN_SEEDS)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    visual, heads = build_trunk(), DenseHeads()

    def save() -> None:
        save_file(heads.state_dict(), work / "heads.safetensors")
        save_file(visual.state_dict(), path)

    def step_loss(step: int) -> dict[str, torch.Tensor]:
        if step % 50 == 49:
            save()
        batch = sample_batch(pool, rng, 64, 16)
        return heads.loss(*encode(visual, batch.images), batch, pool)

    start = time.monotonic()
    done = optimise(make_optimizers([visual, heads], 3e-3), step_loss, steps, minutes)
    save()
    record = {"steps": done, "minutes": round((time.monotonic() - start) / 60, 1), "seed": seed}
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def load_trunk(work: Path, seed: int = 0) -> VisionTransformer:
    """The pretrained trunk of `work`, trained first where it is not there yet."""
    path = work / "trunk.safetensors"
    if not path.exists():
        train(work, seed)
    visual = build_trunk()
    visual.load_state_dict(load_file(path))
    return visual


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.work, options.seed, options.steps, options.minutes)
