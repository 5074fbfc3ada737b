"""What runs in a Dask worker around a task: its signs of life go out, a lost device is owned up to.

Signs travel with the worker's own heartbeats, from its event loop: they cost the driver no question
to each worker, and a worker that hangs needs not answer one.
"""

from typing import Any

from pipeline import pulse
from pipeline.engine.health.device_fault import DeviceFault
from pipeline.engine.task import Outcome, Task, execute

METRIC, DONE = "item", "item done"  # the names of signs and counts among a worker's metrics

_lost: list[str] = []  # why this process has no device any more


def attended(task: Task) -> Outcome:
    """`execute`, in a worker. DeviceFault, with the worker's name, when its process must end."""
    from distributed import get_worker

    worker = get_worker()
    # a new dictionary: the event loop may be going through the old one
    worker.metrics = {**worker.metrics, METRIC: _signs, DONE: _counts}
    if _lost and not task.careful:  # careful ones ask children, which have the device anew
        raise DeviceFault(_lost[0], str(worker.name), first=False)
    with pulse.task(worker.get_current_task()):
        try:
            return execute(task)
        except DeviceFault as fault:
            first = not _lost
            _lost.append(fault.why)
            raise DeviceFault(fault.why, str(worker.name), first) from None


def _signs(worker: Any) -> dict[str, pulse.Sign]:
    return pulse.signs()


def _counts(worker: Any) -> dict[str, dict[str, int]]:
    return pulse.counts()
