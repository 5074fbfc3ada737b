"""Augmented views of training scenes, with what every patch of them shows."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from pipeline.demo.pool import MAX_OBJECTS, NUM_PAIRS, Pool
from pipeline.demo.scenes import SIZE

PATCH = 8  # pixels: the side of a patch of the models' vision transformers
GRID = SIZE // PATCH


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
