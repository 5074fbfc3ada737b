"""Stopping a run well: nothing new is begun, what has begun is finished and committed.

Asked for by SIGTERM or SIGUSR1, as batch systems send some minutes before the end, or by a number
of hours. A second SIGTERM, as Ctrl-C, stops at once.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from types import FrameType

_HANDLED = (signal.SIGTERM, signal.SIGUSR1)
_TIME = signal.SIGUSR1  # that a process sends itself when its hours are over


class Stopped(KeyboardInterrupt):
    """Raised by a signal where what has begun cannot be finished early: while heads are trained."""


class Stop:
    """Whether a run is to stop, and why. `hours` None: never by itself."""

    def __init__(self, hours: float | None = None):
        self._hours = hours
        self._deadline = None if hours is None else monotonic() + hours * 3600
        self._terminated = False
        self.why = ""  # for people, as soon as it is known: `SIGTERM`, `--max-hours 8`
        self._at_once = False

    def asked(self) -> bool:
        """Whether nothing new is to be begun. May be called in any thread."""
        if not self.why and self._deadline is not None and monotonic() > self._deadline:
            self._ask(f"--max-hours {self._hours:g}")
        return bool(self.why)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Where a signal, or the time, raises Stopped: what has begun takes long to finish."""
        timer = threading.Timer(0, lambda: None)
        if self._deadline is not None and self.on_signal == signal.getsignal(_TIME):
            timer = threading.Timer(max(0.0, self._deadline - monotonic()), self._strike)
        timer.daemon = True
        self._at_once = True
        timer.start()
        try:
            yield
        finally:
            self._at_once = False
            timer.cancel()
            timer.join()

    def _strike(self) -> None:
        """The time has come: as a signal, which alone interrupts what the main thread does."""
        if self._at_once and self.asked():
            os.kill(os.getpid(), _TIME)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """A signal's handler: asks. KeyboardInterrupt at the second SIGTERM, Stopped `at_once`."""
        if number == signal.SIGTERM and self._terminated:
            raise KeyboardInterrupt
        self._terminated = self._terminated or number == signal.SIGTERM
        name = signal.Signals(number).name
        if self._at_once:
            self.why = self.why or name
            raise Stopped
        if not self.why:
            self._ask(name)

    def _ask(self, why: str) -> None:
        self.why = why
        text = f"{why}: no new part is begun, those in flight are finished (Ctrl-C to stop now)\n"
        os.write(2, text.encode())  # a signal may come in the midst of writing to sys.stderr


@contextmanager
def closed_in_peace() -> Iterator[ExitStack]:
    """An ExitStack. What it closes after Ctrl-C, seconds at most, no second one interrupts."""
    main = threading.current_thread() is threading.main_thread()
    ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        with ExitStack() as stack:
            try:
                yield stack
            except KeyboardInterrupt:
                if ours:
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
                raise
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stopping(hours: float | None) -> Iterator[Stop]:
    """A Stop that signals reach while the context lasts, and these hours (None: no limit)."""
    stop = Stop(hours)
    if threading.current_thread() is not threading.main_thread():  # only there are signals handled
        yield stop
        return
    before = {number: signal.signal(number, stop.on_signal) for number in _HANDLED}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
