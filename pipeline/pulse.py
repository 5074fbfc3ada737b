"""Signs of life: what computes a task marks that it goes on, and whoever watches can ask.

Whoever runs a task opens it with `task`; what computes it calls `beat` after each batch, which
costs less than a microsecond. Marks are kept for each task of this process, by the context of the
thread that opened it: a thread without one (one that decodes ahead) marks nothing.
"""

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

Sign = tuple[int, str, bool]  # beats so far, the node at work, whether its models are loading

LOADING_WAIT = 300.0  # seconds that models may take to load, however short the stall time is

_PACKAGE = f"{Path(__file__).resolve().parent}/"
_LOWEST = 4  # frames of ours that a stack shows
_OTHERS = 3  # threads beside the task's own that a stack shows


class _Pulse:
    """The beats of one task: a count that only its own thread raises."""

    __slots__ = ("beats", "done", "loading", "node", "thread")

    def __init__(self) -> None:
        self.beats, self.node, self.loading = 0, "", False
        self.done: dict[str, int] = {}  # node -> images
        self.thread = threading.get_ident()


_current: ContextVar[_Pulse | None] = ContextVar("pulse", default=None)
_running: dict[str, _Pulse] = {}


@contextmanager
def task(key: str) -> Iterator[None]:
    """Within it, this thread computes the task `key`."""
    pulse = _running[key] = _Pulse()
    token = _current.set(pulse)
    try:
        yield
    finally:
        _current.reset(token)
        _running.pop(key, None)  # the same task may run twice, while a worker is retired


def node(name: str, loading: bool = False) -> None:
    """A beat, and from here on the task is at work on the node `name`, or still `loading` models.

    Loading gives no sign until it is over, and takes what disks and networks take.
    """
    pulse = _current.get()
    if pulse is not None:
        pulse.node, pulse.loading = name, loading
        pulse.beats += 1


def beat() -> None:
    """Marks that the task of this thread goes on; outside of a task it does nothing."""
    pulse = _current.get()
    if pulse is not None:
        pulse.beats += 1


def count(images: int) -> None:
    """The node at work has made the rows of so many images more, though not committed them yet."""
    pulse = _current.get()
    if pulse is not None:  # a new dictionary: another thread may be reading the old one
        pulse.done = {**pulse.done, pulse.node: pulse.done.get(pulse.node, 0) + images}
        pulse.beats += 1


def counts() -> dict[str, dict[str, int]]:
    """Of each task that runs in this process, by key: node -> images that it has made so far."""
    return {key: one.done for key, one in list(_running.items())}


def signs() -> dict[str, Sign]:
    """Of each task that runs in this process, by key: its beats, the node, and whether it loads."""
    return {key: (one.beats, one.node, one.loading) for key, one in list(_running.items())}


def stack(key: str) -> str | None:
    """Where the thread of a task is, in one line; None when the task is not running here.

    The lowest frames of this package, innermost first, behind the frame of another library that
    they wait in: `socket.py:706 readinto < source.py:95 read_bytes < decode.py:201 _read`. Other
    threads that are in this package follow: an image that cannot be decoded hangs there.
    """
    pulse = _running.get(key)
    frames = sys._current_frames()
    if pulse is None or pulse.thread not in frames:
        return None
    lines = [_line(frames[pulse.thread])]
    tasks = {other.thread for other in list(_running.values())}
    for thread in threading.enumerate():
        if thread.ident in tasks or thread.ident == threading.get_ident():
            continue
        frame = frames.get(thread.ident or 0)
        if frame is not None and (line := _line(frame)) and line not in lines:
            lines.append(line)
    return "; beside it ".join(filter(None, lines[: 1 + _OTHERS]))


def _line(frame: FrameType) -> str:
    """The frames of this package, with the innermost of all; '' when none is of this package."""
    found = traceback.extract_stack(frame)[::-1]
    ours = [one for one in found if one.filename.startswith(_PACKAGE) and one.name[0] != "<"]
    if not ours:
        return ""
    shown = ([] if found[0].filename.startswith(_PACKAGE) else found[:1]) + ours[:_LOWEST]
    return " < ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in shown)
