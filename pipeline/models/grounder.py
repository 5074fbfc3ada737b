"""Where in an image a phrase is: boxes in fractions, from nothing but CLIP's own features."""

import numpy as np


def whole(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole image for each of `count` phrases: boxes float32 [n, 4], scores (all 1) [n]."""
    return np.tile(np.float32([0, 0, 1, 1]), (count, 1)), np.ones(count, np.float32)


def patches(
    dense: np.ndarray, grid: tuple[int, int], phrases: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of k phrases in one image, from its patch embeddings.

    `dense` float32 [rows * columns, d] and `phrases` float32 [k, d] are unit vectors. A phrase's
    region is its best patch, by cosine, with the patches connected to it whose cosine lies at
    least `threshold` of the way up from the image's lower quartile to its best: one phrase's
    cosines differ from another's by an offset that says nothing about place, and the lowest of
    all may belong to another object. The box around it is at least one patch, also for a phrase
    that is nowhere in the image.

    Returns boxes float32 [k, 4] (x0, y0, x1, y1, fractions of the grid) and scores float32 [k],
    the cosine of the best patch: low where the phrase is not to be found.
    """
    cosines = dense @ phrases.T
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
    islands, _ = label(cosines - low >= threshold * (high - low))
    best = np.unravel_index(cosines.argmax(), cosines.shape)
    inside_rows, inside_columns = np.nonzero(islands == islands[best])
    return (
        inside_columns.min() / columns,
        inside_rows.min() / rows,
        (inside_columns.max() + 1) / columns,
        (inside_rows.max() + 1) / rows,
    )
