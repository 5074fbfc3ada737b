"""Where in an image a phrase is: boxes in fractions, from nothing but CLIP's own features."""

from typing import Any

import numpy as np

from pipeline.models.transfer import Home

# cosines that differ by no more are equal: float32 on two devices differs by a tenth of it
_TIE = 1e-5


def whole(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole image for each of `count` phrases: boxes float32 [n, 4], scores (all 1) [n]."""
    return np.tile(np.float32([0, 0, 1, 1]), (count, 1)), np.ones(count, np.float32)


def cosines(dense: Any, phrases: Any, asked: np.ndarray) -> Home:
    """The cosine of each patch with each phrase, float32 [n, p, k], on its way to the host.

    `dense` [n, p, d] are the patch features of n images and `phrases` float32 [m, d] unit vectors,
    tensors on one device; `asked` int64 [n, k] says which phrases are looked for in which image.
    Only cosines leave the device: patch features are a thousand times as many bytes.
    """
    import torch

    dense = dense.float()
    dense = dense / dense.norm(dim=-1, keepdim=True)
    wanted = phrases[torch.from_numpy(asked).to(phrases.device)]
    return Home(dense @ wanted.transpose(1, 2))


def patches(
    cosines: np.ndarray, grid: tuple[int, int], threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of k phrases in one image, from the cosines of its patches.

    `cosines` float32 [rows * columns, k], patches in row-major order. A phrase's region is its best
    patch, by cosine, with the patches connected to it whose cosine lies at least `threshold` of the
    way up from the image's lower quartile to its best: one phrase's cosines differ from another's
    by an offset that says nothing about place, and the lowest of all may belong to another object.
    Of patches that are equally good, but for float32's rounding, the first counts, so that devices
    agree. The box around a region is at least one patch, also for a phrase that is nowhere in the
    image.

    Returns boxes float32 [k, 4] (x0, y0, x1, y1, fractions of the grid) and scores float32 [k],
    the cosine of the best patch: low where the phrase is not to be found.
    """
    boxes = [_around(one.reshape(grid), threshold) for one in cosines.T]
    scores = cosines.max(0, initial=-1.0)
    return np.array(boxes, np.float32).reshape(-1, 4), scores


def to_image(boxes: np.ndarray, visible: tuple[float, float, float, float]) -> np.ndarray:
    """Boxes [k, 4] in fractions of what the model saw, as fractions of the image, float32 [k, 4].

    `visible` is that part of the image in fractions of it; what lies in padding is cut off.
    """
    x0, y0, x1, y1 = visible
    scale = np.float64([x1 - x0, y1 - y0] * 2)
    moved = np.float64([x0, y0] * 2) + boxes * scale
    return np.clip(moved, 0.0, 1.0).astype(np.float32)


def _around(cosines: np.ndarray, threshold: float) -> tuple[float, float, float, float]:
    from scipy.ndimage import label

    rows, columns = cosines.shape
    low, high = np.quantile(cosines, 0.25), cosines.max()
    # heights above `low` are compared, so that the best patch passes whatever the rounding
    islands, _ = label(cosines - low >= threshold * (high - low) - _TIE)
    best = np.unravel_index((cosines >= high - _TIE).argmax(), cosines.shape)
    inside_rows, inside_columns = np.nonzero(islands == islands[best])
    return (
        inside_columns.min() / columns,
        inside_rows.min() / rows,
        (inside_columns.max() + 1) / columns,
        (inside_rows.max() + 1) / rows,
    )
