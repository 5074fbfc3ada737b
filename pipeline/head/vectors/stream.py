"""A source in flat files: what does not fit in memory, read in blocks while something else runs.

An epoch's order: blocks of `BLOCK_ROWS` neighbouring rows are put in a random order; as many as
half of the memory holds are read, and their rows leave in a random order, while the next ones are
read into the other half. So every row comes once, what leaves together comes from hundreds of
places, and the disk still reads blocks.
"""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.errors import UserError

BLOCK_ROWS = 64
LEAST_BLOCKS = 256  # that a buffer mixes; with fewer an epoch's order would show the files' order
_MOST_BLOCKS = 2048  # more mix no better, and fall out of the processor's caches
_SEQUENTIAL = 4096  # rows of a block that is read in order


@dataclass(frozen=True)
class Column:
    """A matrix in a file: `rows` rows of `width` numbers of `dtype`, one after another."""

    path: Path
    rows: int
    width: int
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.width * self.dtype.itemsize


def least_bytes(row: int, rows: int, batch_size: int) -> int:
    """The least memory in which an epoch of rows of `row` bytes is mixed well enough."""
    return 2 * row * (min(rows, LEAST_BLOCKS * BLOCK_ROWS) + batch_size)


class Streamed:
    """A source of some columns side by side, in files; `memory` bytes are for an epoch's buffers.

    `order`: see Source. Raises UserError, when it is read, for a file that is no longer whole.
    """

    def __init__(self, columns: list[Column], order: np.ndarray, memory: int):
        self.columns, self.order, self.memory = columns, order, memory
        self.width = sum(column.width for column in columns)

    def __len__(self) -> int:
        return len(self.order)

    def blocks(self) -> Iterator[torch.Tensor]:
        """See Source."""
        starts = range(0, len(self), _SEQUENTIAL)
        pieces = [[(start, min(start + _SEQUENTIAL, len(self)))] for start in starts]
        wide = torch.empty(_SEQUENTIAL, self.width)
        for buffer, count in self._read_ahead(pieces, _SEQUENTIAL):
            yield buffer.widen(slice(0, count), wide[:count])

    def at(self, rows: np.ndarray) -> torch.Tensor:
        """See Source."""
        found = torch.empty(len(rows), self.width)
        start = done = 0
        for block in self.blocks():
            stop = done + int(np.searchsorted(rows[done:], start + len(block)))
            found[done:stop] = block[torch.from_numpy(rows[done:stop] - start)]
            start, done = start + len(block), stop
        return found

    def epoch(self, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See Source."""
        fills = self._fills(batch_size)
        capacity = max(sum(stop - start for start, stop in fill) for fill in fills)
        wide = torch.empty(batch_size, self.width)
        left = None  # rows of the buffer before, fewer than a batch
        for number, (buffer, count) in enumerate(self._read_ahead(fills, capacity, batch_size)):
            first = buffer.put_before(left) if left else buffer.room
            rows = torch.randperm(buffer.room + count - first) + first
            last = number + 1 == len(fills)
            whole = len(rows) if last else len(rows) // batch_size * batch_size
            for some in rows[:whole].split(batch_size):
                yield buffer.widen(some, wide[: len(some)]), buffer.numbers[some]
            left = buffer.taken(rows[whole:])

    def _fills(self, batch_size: int) -> list[list[tuple[int, int]]]:
        """What each filling of a buffer reads: its blocks in ascending order, first and end row."""
        row = sum(column.row_bytes for column in self.columns)
        blocks = math.ceil(len(self) / BLOCK_ROWS)
        room = (self.memory // 2 // row - batch_size) // BLOCK_ROWS
        number = math.ceil(blocks / min(max(room, LEAST_BLOCKS), _MOST_BLOCKS))
        # of equal size: a small one at the end would mix less
        chosen = torch.randperm(blocks).tensor_split(number)
        return [
            [
                (b * BLOCK_ROWS, min((b + 1) * BLOCK_ROWS, len(self)))
                for b in some.sort()[0].tolist()
            ]
            for some in chosen
        ]

    def _read_ahead(
        self, fills: list[list[tuple[int, int]]], capacity: int, room: int = 0
    ) -> Iterator[tuple["_Buffer", int]]:
        """Each filling's buffer and number of rows; a thread reads the next into another one."""
        buffers = [_Buffer(self.columns, capacity, room) for _ in range(min(2, len(fills)))]
        with _open(self.columns) as files, ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(buffers[0].fill, files, fills[0])
            for number in range(len(fills)):
                count = waiting.result()
                if number + 1 < len(fills):
                    following = buffers[(number + 1) % 2]
                    waiting = thread.submit(following.fill, files, fills[number + 1])
                yield buffers[number % 2], count


class _Buffer:
    """Rows of some columns, as they lie in the files; the first `room` are for other rows."""

    def __init__(self, columns: list[Column], capacity: int, room: int):
        self.columns, self.room = columns, room
        # which rows of the source; written by NumPy, since another thread may not write a tensor
        # that was made in inference mode
        self._numbers = np.empty(room + capacity, np.int64)
        self.numbers = torch.from_numpy(self._numbers)
        arrays = [np.empty((room + capacity, c.width), c.dtype) for c in columns]
        self._bytes = [memoryview(array.reshape(-1).view(np.uint8)) for array in arrays]
        # torch picks rows of int32 three times as fast as those of float16
        self._raw = [
            torch.from_numpy(a.view(_integer(c))) for a, c in zip(arrays, columns, strict=True)
        ]

    def fill(self, files: list[int], ranges: list[tuple[int, int]]) -> int:
        """Reads these ranges of rows from the columns' open files; returns the number of rows."""
        at = self.room
        for start, stop in ranges:
            for column, file, target in zip(self.columns, files, self._bytes, strict=True):
                size = column.row_bytes
                _read(file, target[at * size : (at + stop - start) * size], start * size, column)
            self._numbers[at : at + stop - start] = np.arange(start, stop)
            at += stop - start
        return at - self.room

    def widen(self, rows: torch.Tensor | slice, out: torch.Tensor) -> torch.Tensor:
        """`out` float32 [some, width], with these rows in it, the columns side by side."""
        start = 0
        for column, raw in zip(self.columns, self._raw, strict=True):
            some = raw[rows] if isinstance(rows, slice) else raw.index_select(0, rows)
            out[:, start : start + column.width] = some.view(_FLOATS[column.dtype])
            start += column.width
        return out

    def taken(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """A copy of these rows: their numbers, and each column's."""
        return [t.index_select(0, rows) for t in (self.numbers, *self._raw)]

    def put_before(self, rows: list[torch.Tensor]) -> int:
        """Puts rows that another buffer had `taken` before the own ones; where they start."""
        start = self.room - len(rows[0])
        for target, some in zip((self.numbers, *self._raw), rows, strict=True):
            target[start : self.room] = some
        return start


_FLOATS = {np.dtype(np.float16): torch.float16, np.dtype(np.float32): torch.float32}


def _integer(column: Column) -> type:
    return np.int32 if column.row_bytes % 4 == 0 else np.int16


@contextmanager
def _open(columns: list[Column]) -> Iterator[list[int]]:
    files: list[int] = []
    try:
        files += (os.open(column.path, os.O_RDONLY) for column in columns)
        yield files
    finally:
        for file in files:
            os.close(file)


def _read(file: int, target: memoryview, start: int, column: Column) -> None:
    while target:  # a read may give less than was asked for
        count = os.preadv(file, [target], start)
        if not count:
            raise UserError("a temporary file of the training was cut short", str(column.path))
        target, start = target[count:], start + count
