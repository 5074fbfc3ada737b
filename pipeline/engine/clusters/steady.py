"""Loaded into each worker of a cluster of this machine: SIGTERM is for the driver alone.

A batch system, or systemd, sends it to all processes of a job. A worker that ended would lose the
part that the driver is waiting for. The driver ends its workers itself.
"""

import signal
from types import FrameType
from typing import Any


def dask_setup(worker: Any) -> None:
    """Makes SIGTERM do nothing here. Called in the main thread."""
    signal.signal(signal.SIGTERM, _ignore)  # a handler: children would inherit SIG_IGN


def _ignore(number: int, frame: FrameType | None) -> None: ...
