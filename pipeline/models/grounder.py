"""Where in an image a phrase is: boxes in fractions, from nothing but CLIP's own features."""

import numpy as np


def whole(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole image for each of `count` phrases: boxes float32 [n, 4], scores (all 1) [n]."""
    return np.tile(np.float32([0, 0, 1, 1]), (count, 1)), np.ones(count, np.float32)


def patches(
    dense: np.ndarray,
    grid: tuple[int, int],
    phrases: np.ndarray,
    neutral: np.ndarray,
    temperature: float,
    threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of k phrases in one image, from its patch embeddings.

    `dense` float32 [rows * columns, d], `phrases` float32 [k, d] and `neutral` float32 [m, d] are
    unit vectors. Each patch shares itself out among the image's phrases and the neutral texts (a
    softmax of the cosines over `temperature`); a phrase's region is the connected patches around
    its best one whose share reaches `threshold` of the best, at least that one patch.

    Returns boxes float32 [k, 4] (x0, y0, x1, y1, fractions of the grid) and scores float32 [k],
    the cosine of the best patch.
    """
    cosines = dense @ np.concatenate([phrases, neutral]).T
    shares = _softmax(cosines / temperature)[:, : len(phrases)]
    best = shares.argmax(0)
    boxes = [
        _around(shares[:, k].reshape(grid), int(best[k]), threshold) for k in range(len(phrases))
    ]
    return np.array(boxes, np.float32).reshape(-1, 4), cosines[best, np.arange(len(phrases))]


def to_image(boxes: np.ndarray, visible: tuple[float, float, float, float]) -> np.ndarray:
    """Boxes [k, 4] in fractions of what the model saw, as fractions of the image, float32 [k, 4].

    `visible` is that part of the image in fractions of it; what lies in padding is cut off.
    """
    x0, y0, x1, y1 = visible
    scale = np.float64([x1 - x0, y1 - y0] * 2)
    moved = np.float64([x0, y0] * 2) + boxes * scale
    return np.clip(moved, 0.0, 1.0).astype(np.float32)


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def _around(shares: np.ndarray, best: int, threshold: float) -> tuple[float, float, float, float]:
    from scipy.ndimage import label

    rows, columns = shares.shape
    row, column = divmod(best, columns)
    islands, _ = label(shares >= threshold * shares[row, column])
    inside_rows, inside_columns = np.nonzero(islands == islands[row, column])
    return (
        inside_columns.min() / columns,
        inside_rows.min() / rows,
        (inside_columns.max() + 1) / columns,
        (inside_rows.max() + 1) / rows,
    )
