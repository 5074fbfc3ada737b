"""The vision trunk that the bundled CLIP and captioner both start from, and its dense pretraining.

Captions alone teach a small vision transformer shapes only after hours; what every patch shows,
known from the renderer's masks, teaches them in minutes. The trunk is open_clip's own
VisionTransformer, so its weights move into CLIP as they are and into BLIP by renaming.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from open_clip.transformer import VisionTransformer
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from pipeline.demo.pool import MAX_OBJECTS, NUM_PAIRS, TRAIN_SEEDS, Pool, load_pool
from pipeline.demo.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZE, TEXTURES

PATCH = 8
GRID = SIZE // PATCH
WIDTH = 192
LAYERS = 6
HEAD_WIDTH = 32
EMBED_DIM = 128
MEAN = STD = 0.5  # both models map pixels to -1..1


@dataclass(frozen=True)
class Batch:
    """Augmented views: `images` float32 [b, 3, SIZE, SIZE] in -1..1; `patches` float32
    [b, GRID**2, NUM_PAIRS + 1], share of each patch owned by each pair, background last;
    `present` float32 [b, NUM_PAIRS], 1 where seen, NaN where only a sliver is; `rows` int64 [b],
    the pool rows; `target` int64 [b], the pair a crop was made around, -1 for whole pictures.
    """

    images: torch.Tensor
    patches: torch.Tensor
    present: torch.Tensor
    rows: torch.Tensor
    target: torch.Tensor


def build_trunk() -> VisionTransformer:
    """An untrained trunk: the `visual` of the CLIP described in train_clip.model_config.

    Positions start as two-dimensional sines and every head's keys as its queries, so attention
    begins local instead of uniform (mimetic initialisation, arXiv 2305.09828): on few pictures that
    is worth many epochs.
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
    several times slower than two matrix products in bfloat16 on a CPU.
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


@torch.autocast("cpu", enabled=False)
@torch.no_grad()
def sample_batch(
    pool: Pool, rng: np.random.Generator, size: int, crops: int, augment: bool = True
) -> Batch:
    """`size` random views of `pool`, the last `crops` of them cut around one object.

    Views are mirrored at random: captions name no sides.
    """
    rows = rng.integers(len(pool), size=size)
    counts = (pool.pairs[rows] >= 0).sum(1)
    chosen = (rng.random(size) * counts).astype(int)
    box = pool.boxes[rows, chosen]
    centre = np.full((size, 2), 0.5)
    half = np.full((size, 2), 0.5)
    cut = np.arange(size) >= size - crops
    centre[cut], half[cut] = _cut_out(box[cut], rng)
    mirror = np.where(rng.random(size) < 0.5, -1.0, 1.0)
    theta = np.zeros((size, 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 0, 2] = 2 * half[:, 0] * mirror, 2 * centre[:, 0] - 1
    theta[:, 1, 1], theta[:, 1, 2] = 2 * half[:, 1], 2 * centre[:, 1] - 1
    images = torch.from_numpy(pool.images[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
    grid = F.affine_grid(torch.from_numpy(theta), images.shape, align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    owners = torch.from_numpy(pool.masks[rows]).float()[:, None]
    owners = F.grid_sample(owners, grid, mode="nearest", padding_mode="border", align_corners=False)
    target = np.where(cut, pool.pairs[rows, chosen], -1)
    return Batch(
        images=_degrade(images, rng) if augment else images,
        patches=_patch_shares(owners[:, 0].long(), torch.from_numpy(pool.pairs[rows])),
        present=_presence(pool, rows, owners[:, 0].long(), cut),
        rows=torch.from_numpy(rows),
        target=torch.from_numpy(target),
    )


def _cut_out(box: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centres and half sides [n, 2] of crops around boxes [n, 4], fractions of the picture.

    Half of them have a margin of 0 to 20 % and a little jitter; the other half run along the
    borders of patches, a little too wide or too narrow, as a localiser on patches cuts them.
    """
    middle, half = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]) / 2
    loose = half * (1 + 2 * rng.uniform(0, 0.2, (len(box), 1)))
    middle = middle + rng.uniform(-0.08, 0.08, middle.shape) * loose
    loose = loose * rng.uniform(0.92, 1.08, loose.shape)
    low = np.floor(box[:, :2] * GRID) + (rng.random(middle.shape) < 0.4)
    high = np.ceil(box[:, 2:] * GRID) - (rng.random(middle.shape) < 0.4)
    low, high = np.clip(low, 0, GRID - 2), np.clip(np.maximum(high, low + 2), 2, GRID)
    snapped = rng.random((len(box), 1)) < 0.5
    return (
        np.where(snapped, (low + high) / 2 / GRID, middle),
        np.where(snapped, (high - low) / 2 / GRID, loose),
    )


def _degrade(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Mild gain, blur and noise: generated pictures are softer than rendered ones."""
    size = len(images)
    images = images * torch.from_numpy(rng.uniform(0.92, 1.08, (size, 1, 1, 1)).astype(np.float32))
    soft = torch.from_numpy(rng.random(size) < 0.25)
    if soft.any():
        w = float(rng.uniform(0.1, 0.25))
        kernel = torch.tensor([w, 1 - 2 * w, w])
        weight = torch.outer(kernel, kernel).expand(3, 1, 3, 3)
        padded = F.pad(images[soft], (1, 1, 1, 1), mode="replicate")
        images = images.index_put((soft,), F.conv2d(padded, weight, groups=3))
    grainy = torch.from_numpy(rng.random(size) < 0.25)
    if grainy.any():
        noise = rng.standard_normal((int(grainy.sum()), 3, SIZE, SIZE), np.float32)
        images = images.index_put((grainy,), images[grainy] + 0.04 * torch.from_numpy(noise))
    return images


def _patch_shares(owners: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    size = len(owners)
    table = torch.cat([pairs.clamp(min=0), torch.full((size, 1), NUM_PAIRS)], 1)
    index = torch.where(owners < 0, MAX_OBJECTS, owners).view(size, -1)
    label = table.gather(1, index).view(size, GRID, PATCH, GRID, PATCH)
    label = label.permute(0, 1, 3, 2, 4).reshape(size, GRID * GRID, PATCH * PATCH)
    shares = torch.zeros(size, GRID * GRID, NUM_PAIRS + 1)
    return shares.scatter_add_(2, label, torch.full(label.shape, 1 / PATCH**2))


def _presence(pool: Pool, rows: np.ndarray, owners: torch.Tensor, cut: np.ndarray) -> torch.Tensor:
    """Which pairs a view shows; NaN (not scored) where a crop caught only a part of an object."""
    present = torch.zeros(len(rows), NUM_PAIRS)
    for number in range(MAX_OBJECTS):
        pair = torch.from_numpy(pool.pairs[rows, number])
        seen = (owners == number).flatten(1).float().mean(1)
        value = torch.where(seen > 0.15, 1.0, torch.where(seen > 0.01, torch.nan, 0.0))
        value = torch.where(torch.from_numpy(cut), value, 1.0)
        exists = (pair >= 0).nonzero()[:, 0]
        present[exists, pair[exists]] = value[exists]
    return present


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


def make_optimizers(
    modules: list[nn.Module], rate: float, weight_decay: float = 0.02
) -> list[torch.optim.Optimizer]:
    """Muon for matrices inside transformer blocks (about twice the progress per picture of AdamW),
    AdamW for everything else.
    """
    matrices, others = [], []
    for module in modules:
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            hidden = parameter.ndim == 2 and ("resblocks" in name or ".layer" in name)
            (matrices if hidden else others).append(parameter)
    return [
        torch.optim.Muon(
            matrices, lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=weight_decay),
    ]


def optimise(
    optimizers: list[torch.optim.Optimizer],
    step_loss: Callable[[int], dict[str, torch.Tensor]],
    steps: int,
    minutes: float | None = None,
    warmup: int = 40,
) -> int:
    """Runs `steps` steps (fewer when `minutes` run out first), rate rising, then falling to zero.

    `step_loss(step)` returns named losses, already weighted; their sum is minimised. Returns the
    number of steps taken. With `minutes` the schedule follows the clock and two runs differ.
    """
    base = [[group["lr"] for group in o.param_groups] for o in optimizers]
    start, done = time.monotonic(), 0
    means: dict[str, float] = {}
    for step in range(steps):
        clock = (time.monotonic() - start) / 60
        progress = max(step / steps, clock / minutes if minutes else 0.0)
        if progress >= 1:
            break
        factor = min(1.0, (step + 1) / warmup) * min(1.0, 1.25 * (1 - progress))
        for optimizer, rates in zip(optimizers, base, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        with torch.autocast("cpu", torch.bfloat16):
            losses = step_loss(step)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
        for name, value in losses.items():
            means[name] = 0.95 * means.get(name, value.item()) + 0.05 * value.item()
        done += 1
        if step % 25 == 0:
            text = " ".join(f"{name} {value:.3f}" for name, value in means.items())
            print(f"step {step} {clock:.1f} min {text}", flush=True)
    return done


def train(work: Path, seed: int = 0, steps: int = 1500, minutes: float | None = None) -> Path:
    """Trains the trunk and writes `work/trunk.safetensors` (float32), whose path it returns."""
    path = work / "trunk.safetensors"
    pool = load_pool(work, TRAIN_SEEDS)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    visual, heads = build_trunk(), DenseHeads()

    def step_loss(step: int) -> dict[str, torch.Tensor]:
        if step % 50 == 49:
            save_file(visual.state_dict(), path)
            save_file(heads.state_dict(), path.with_name("heads.safetensors"))
        batch = sample_batch(pool, rng, 64, 16)
        return heads.loss(*encode(visual, batch.images), batch, pool)

    start = time.monotonic()
    done = optimise(make_optimizers([visual, heads], 3e-3), step_loss, steps, minutes)
    save_file(visual.state_dict(), path)
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
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.work, options.seed, options.steps, options.minutes)
