"""Windows over an image, of several sizes and overlapping, and the best of them for each phrase.

Crops at several scales, each overlapping its neighbours and embedded by CLIP, are the image
pyramid of LERF (Kerr et al., "LERF: Language Embedded Radiance Fields", ICCV 2023, multi-scale
supervision); a region scored by the cosine of its crop and a phrase is ReCLIP's way (Subramanian
et al., ACL 2022, section 3.1). Ours are: windows in place of detected proposals, squares measured
by the shorter edge, the evened-out stride, the defaults, and that the box is the best window as
it stands, neither merged with others nor refined.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np

_MOST = 32  # positions along one edge: no ribbon of an image takes a thousand windows


def layout(size: tuple[int, int], scales: Sequence[float], overlap: float) -> np.ndarray:
    """The windows of an image of `size` (width, height): int64 [n, 4], x0, y0, x1, y1 in pixels.

    For each scale squares of that fraction of the shorter edge, at least one pixel, because a
    square is what CLIP sees whole. Along each edge they begin at both ends and lie evenly between,
    neighbours sharing at least `overlap` of their side, but never more than 32 in a row. In the
    order of `scales`, then row by row; no window twice.
    """
    found: dict[tuple[int, int, int, int], None] = {}
    for scale in scales:
        side = min(max(1, round(scale * min(size))), min(size))
        columns, rows = (_starts(length, side, overlap) for length in size)
        for y in rows:
            found.update(dict.fromkeys((x, y, x + side, y + side) for x in columns))
    return np.array(list(found), np.int64)


def best(
    windows: np.ndarray, size: tuple[int, int], embeddings: np.ndarray, phrases: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each phrase's window: the one whose cosine is the highest, the first of equals.

    `windows` [n, 4] pixels of an image of `size` (width, height), their `embeddings` float32
    [n, d] and `phrases` float32 [k, d], unit vectors. Returns boxes float32 [k, 4] in fractions
    of the image, and the cosines float32 [k]; NaN where any window's embedding is not finite.
    """
    cosines = embeddings @ phrases.T
    place = cosines.argmax(0)  # of a column with NaN, the first NaN
    boxes = windows[place] / np.float64([*size, *size])
    return boxes.astype(np.float32), cosines[place, np.arange(len(phrases))]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    room = length - side
    count = min(ceil(room / max(side * (1 - overlap), 1.0)) + 1, _MOST)
    return [round(start) for start in np.linspace(0, room, count).tolist()]
