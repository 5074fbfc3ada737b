"""k nearest neighbours by cosine, over blocks of rows: neither side need fit in memory."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from pipeline.head.vectors.row_reader import Source

_QUERIES = 16_384  # rows looked up in one pass over the training rows
_CHUNK = 2048  # rows of a block of cosines, on each side


def choose(count: int, among: int, seed: int) -> np.ndarray:
    """int64 [among]: the numbers, ascending, of the training images that are looked among."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(count, among, replace=False))


def share_of_fakes(
    train: Source, y: np.ndarray, test: Source, numbers: Sequence[int]
) -> dict[int, np.ndarray]:
    """k -> float64 [rows of `test`]: the share of fakes among the k nearest rows of `train`.

    For each k of `numbers`. `y` [rows of `train`]: 0 real, 1 fake. Nearest: of the least cosine
    distance.
    """
    label, most = torch.from_numpy(y.astype(np.float64)), max(numbers)
    found = [label[_nearest(train, queries, most)] for queries in _together(test.blocks())]
    return {k: torch.cat([one[:, :k].mean(dim=1) for one in found]).numpy() for k in numbers}


def _together(blocks: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Rows of unit length, at most `_QUERIES` at a time."""
    held: list[torch.Tensor] = []
    for block in blocks:
        for some in block.split(_QUERIES):
            if sum(map(len, held)) + len(some) > _QUERIES:
                yield torch.cat(held)
                held = []
            held.append(normalize(some))
    if held:
        yield torch.cat(held)


@torch.inference_mode()
def _nearest(train: Source, queries: torch.Tensor, k: int) -> torch.Tensor:
    """int64 [queries, k]: which rows of `train` have the highest cosines."""
    best = torch.full((len(queries), k), -torch.inf)
    which = torch.zeros(len(queries), k, dtype=torch.int64)
    start = 0
    for block in train.blocks():
        for some in block.split(_CHUNK):
            keys = normalize(some).T
            for first in range(0, len(queries), _CHUNK):
                part = slice(first, first + _CHUNK)
                cosine, at = (queries[part] @ keys).topk(min(k, len(some)), dim=1)
                nearer = torch.cat([best[part], cosine], dim=1)
                best[part], chosen = nearer.topk(k, dim=1)
                which[part] = torch.cat([which[part], at + start], dim=1).gather(1, chosen)
            start += len(some)
    return which
