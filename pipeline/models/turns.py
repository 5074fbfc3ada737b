"""Model calls on one device, one after the other: several threads of a process may share it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

_locks: dict[str, Lock] = {}


@contextmanager
def turn(adapter: Any) -> Iterator[None]:
    """Within it no other thread's model call is begun on the device of this loaded model.

    Tokenizers and torch's own settings are the process's, and kernels of two calls would only get
    into each other's way. What a call has launched may still be computed afterwards.
    """
    with _locks.setdefault(str(getattr(adapter, "device", "cpu")), Lock()):
        yield
