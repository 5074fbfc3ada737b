"""Where a method's input comes from: some matrices side by side, whose rows are one side's images.

A source is read whole and in order (`blocks`), in a new random order (`epoch`), or at some rows
(`at`). In memory it is a matrix; `pipeline.head.vectors.stream` has the one that lies in files.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike

BLOCK = 65_536  # rows of a block in memory; bounds the memory of what is computed from it


class Source(Protocol):
    """n images, `width` numbers each, float32.

    `order` int64 [n]: which row of the side, in its own fixed order, each row here is.
    """

    order: np.ndarray
    width: int

    def __len__(self) -> int: ...

    def blocks(self) -> Iterator[torch.Tensor]:
        """All rows, [some, width] at a time, in order. A block is valid until the next one."""

    def epoch(self, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All rows once in a new random order of torch's: x [batch_size, width], and which ones.

        The last batch may be smaller. A batch is valid until the next one.
        """

    def at(self, rows: np.ndarray) -> torch.Tensor:
        """[len(rows), width]: the rows of these ascending numbers."""


class InMemory:
    """A source that is a matrix, float32 [n, width], whose rows are in the side's own order."""

    def __init__(self, x: np.ndarray):
        self.x = torch.from_numpy(x)
        self.width = x.shape[1]
        self.order = np.arange(len(x))

    def __len__(self) -> int:
        return len(self.x)

    def blocks(self) -> Iterator[torch.Tensor]:
        """See Source."""
        return iter(self.x.split(BLOCK))

    def epoch(self, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See Source."""
        for rows in torch.randperm(len(self)).split(batch_size):
            yield self.x.index_select(0, rows), rows  # twice as fast as self.x[rows]

    def at(self, rows: np.ndarray) -> torch.Tensor:
        """See Source."""
        return self.x.index_select(0, torch.from_numpy(rows))


def over_blocks(source: Source, compute: Callable[[torch.Tensor], ArrayLike]) -> np.ndarray:
    """float64 [n]: a number a row, which `compute` gives of each block."""
    found = np.empty(len(source))  # small results kept one by one would pin the blocks' memory
    start = 0
    for block in source.blocks():
        found[start : start + len(block)] = compute(block)
        start += len(block)
    return found


def moments(source: Source) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (of the population) of each column, float32 [width]."""
    if isinstance(source, InMemory):
        std, mean = torch.std_mean(source.x, dim=0, correction=0)
        return mean, std
    count = 0
    mean = torch.zeros(source.width, dtype=torch.float64)
    squares = torch.zeros(source.width, dtype=torch.float64)  # summed squares about the mean
    for block in source.blocks():  # Chan, Golub and LeVeque's merging of two samples
        var, own = (t.double() for t in torch.var_mean(block, dim=0, correction=0))
        share = len(block) / (count + len(block))
        squares += var * len(block) + (own - mean) ** 2 * (count * share)
        mean += (own - mean) * share
        count += len(block)
    return mean.float(), (squares / count).sqrt().float()
