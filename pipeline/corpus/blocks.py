"""Memory that processes share, in blocks: what is decoded in one of them is not copied to another.

A block is taken, filled by another process that knows it by name, and looked at through arrays;
when the last of these arrays is gone, the block is free again. Blocks are made as they are needed
and kept for the next time: making one costs as much as decoding an image.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.util import Finalize
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import finalize

import numpy as np

_ALIGNED = 64  # bytes: where an array may begin
_ROUNDED = 2**20  # bytes: blocks of nearly the same size serve each other
_SYSTEM = Path("/dev/shm")  # where Linux keeps them; containers often allow 64 MB  # noqa: S108


@dataclass(frozen=True)
class Place:
    """Where an array lies: in the block called `block`, from byte `offset` on."""

    block: str
    offset: int
    shape: tuple[int, ...]
    dtype: str


class Blocks:
    """The blocks that one process has made. `on_new` is told of the buffer of each, once."""

    def __init__(self) -> None:
        self._free: dict[int, list[SharedMemory]] = {}  # by their size
        self._all: list[SharedMemory] = []
        self._lock = Lock()
        # also where a process is a child of another one, which `atexit` would leave out
        self._at_exit = Finalize(None, self.close, exitpriority=10)

    def take(
        self, size: int, on_new: Callable[[Any], None] | None = None
    ) -> tuple[str, np.ndarray] | None:
        """The name of a block, and its bytes as a uint8 array; None where there is no more memory.

        The block is free again when that array and all views of it are gone. `on_new(array)` is
        called when the block had to be made.
        """
        with self._lock:
            fitting = [each for each, some in self._free.items() if some and each >= size]
            memory = self._free[min(fitting)].pop() if fitting else None
        if memory is None:
            memory = _made(-(-size // _ROUNDED) * _ROUNDED)
            if memory is None:
                return None
            self._all.append(memory)
            if on_new is not None:
                on_new(np.frombuffer(memory.buf, np.uint8))
        # an array of its own for each time it is taken: views keep it alive, and nothing else does
        lease = np.ndarray(memory.size, np.uint8, memory.buf)
        free = self._free.setdefault(memory.size, [])
        finalize(lease, free.append, memory).atexit = False
        return memory.name, lease

    def close(self) -> None:
        """Gives all memory back to the system, as soon as nobody looks at it any more."""
        self._at_exit.cancel()
        for memory in self._all:
            with suppress(FileNotFoundError):
                memory.unlink()
        self._all, self._free = [], {}


def _made(size: int) -> SharedMemory | None:
    """A new block whose memory is there, not only promised: else writing to it ends a process."""
    try:
        memory = SharedMemory(create=True, size=size)
    except OSError:
        return None
    path = _SYSTEM / memory.name
    if path.exists():
        try:
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            memory.close()
            memory.unlink()
            return None
    return memory


class Writer:
    """Puts arrays one behind the other into a block that another process has taken."""

    def __init__(self, name: str | None):
        self._name = name
        self._bytes = None if name is None else attached(name)
        self.needed = 0  # bytes, of what fitted and of what did not

    def put(self, array: np.ndarray) -> Place | np.ndarray:
        """Where the array now lies; the array itself where there is no room."""
        array = np.ascontiguousarray(array)
        start, self.needed = self.needed, self.needed + -(-array.nbytes // _ALIGNED) * _ALIGNED
        if self._bytes is None or start + array.nbytes > len(self._bytes):
            return array
        self._bytes[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
        return Place(self._name, start, array.shape, array.dtype.str)


def looked_at(place: Place, lease: np.ndarray) -> np.ndarray:
    """The array at `place`, of the block that `lease` is; it keeps the block from being free."""
    dtype = np.dtype(place.dtype)
    size = prod(place.shape) * dtype.itemsize
    return lease[place.offset : place.offset + size].view(dtype).reshape(place.shape)


_attached: dict[str, tuple[SharedMemory, np.ndarray]] = {}


def attached(name: str) -> np.ndarray:
    """The bytes of a block of another process, uint8; looked up once for each process."""
    if name not in _attached:
        memory = SharedMemory(name)
        _attached[name] = memory, np.ndarray(memory.size, np.uint8, memory.buf)
    return _attached[name][1]
