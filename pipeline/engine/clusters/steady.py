"""Loaded into each worker of a cluster of this machine: signals to stop are the driver's alone.

A batch system, or systemd, sends them to all processes of a job. A worker that ended would lose the
part that the driver is waiting for, to commit it. The driver ends its workers itself.
"""

import signal
from types import FrameType
from typing import Any


def dask_setup(worker: Any) -> None:
    """Makes SIGTERM and SIGUSR1 do nothing; children get them as ever. Runs in the main thread."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _ignore)  # a handler: SIG_IGN would be inherited by children


def _ignore(number: int, frame: FrameType | None) -> None: ...
