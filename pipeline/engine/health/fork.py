"""The rest of a command in a fork of its process: should that crash, this one is still there.

Made before anything large is imported, a fork costs some milliseconds, where another process would
import everything anew.
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from types import FrameType

_LARGE = ("numpy", "pyarrow", "duckdb", "torch")  # they may have threads, of which a fork has none
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TWICE = 1.0  # seconds within which a signal is the same: a terminal's comes by this process, too


def forked(died: Callable[[int], None]) -> Callable[[int], None] | None:
    """Goes on in a fork of this process; in the fork: what is to be called when danger is over.

    That takes the exit code. This process waits, passes signals on, and ends as the fork does, by
    SystemExit. Only when the fork is killed, or ends without Python's own end, before danger was
    over, `died` hears of its status (negative: a signal), and None is returned here. So it is at
    once where no fork can be made, or something large is imported already.
    """
    known = any(name in sys.modules for name in _LARGE)
    if known or threading.active_count() > 1 or not hasattr(os, "fork"):
        return None
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    read, write = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until both have handlers
    here, child = os.getpid(), os.fork()
    if child == 0:
        os.close(read)
        return _begun(write, here)
    os.close(write)
    with _passed_on(child), os.fdopen(read, "rb") as stream:
        said = stream.read()  # until the fork has ended
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if said:
        raise SystemExit(status if status >= 0 else said[0])
    died(status)
    return None


def _begun(write: int, parent: int) -> Callable[[int], None]:
    """In the fork: says once that danger is over, at the latest when Python ends."""
    said: list[int] = []

    def over(code: int) -> None:
        if not said:
            said.append(os.write(write, bytes([code])))

    def follow() -> None:
        while os.getppid() == parent:
            sleep(_TWICE)
        os._exit(1)

    atexit.register(over, 1)
    last: dict[int, float] = {}

    def once(number: int, frame: FrameType | None) -> None:
        before, last[number] = last.get(number, -_TWICE), monotonic()
        if last[number] - before >= _TWICE:
            raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=follow, daemon=True).start()
    return over


@contextmanager
def _passed_on(child: int) -> Iterator[None]:
    """Signals are the fork's."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    before = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
