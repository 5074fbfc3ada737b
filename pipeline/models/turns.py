"""Model calls on one device, one after the other: several threads of a process may share it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

_locks: dict[str, RLock] = {}


@contextmanager
def turn(adapter: Any, idle: bool = False) -> Iterator[None]:
    """Within it no other thread's model call is begun on the device of this loaded model.

    Tokenizers and torch's own settings are the process's, and kernels of two calls would only get
    into each other's way. What a call has launched may still be computed afterwards; with `idle`
    it is waited for first. Whoever has the turn may take it again.
    """
    device = getattr(adapter, "device", "cpu")
    with _locks.setdefault(str(device), RLock()):
        if idle and getattr(device, "type", "cpu") == "cuda":
            import torch

            torch.cuda.synchronize(device)
        yield
