"""How often a part is tried, and how: as it is, once more elsewhere, then with care.

A part is computed at most three times. The last time its stages run in child processes, which find
the images at fault, however many (`pipeline.engine.poison`); no other is lost.
"""

from dataclasses import replace

from pipeline.engine.health.device_fault import DeviceFault
from pipeline.engine.task import Task

MAX_ATTEMPTS = 3


class Stalled(Exception):
    """A task that gave no sign of life; `worker` is the name of the one that it ran on."""

    def __init__(self, why: str, worker: str):
        super().__init__(why)
        self.worker = worker


def following(task: Task, error: BaseException) -> Task | None:
    """The task's next attempt after `error`, or None when there is none.

    None, too, for errors that would come again: those that a stage raises. A death counts twice:
    Dask has started the task again itself, before it gave up.
    """
    died = type(error).__name__ == "KilledWorker"
    if task.careful or not (died or isinstance(error, Stalled | DeviceFault)):
        return None
    attempt = task.attempt + 1
    if died or attempt == MAX_ATTEMPTS:
        return replace(task, attempt=MAX_ATTEMPTS, careful=True)
    return replace(task, attempt=attempt, avoid=getattr(error, "worker", ""))


def next_step(task: Task, error: BaseException) -> str:
    """What happens to a part after `error`, in words that end a line for the user."""
    after = following(task, error)
    if after is None:
        return "the part is given up"
    if after.careful:
        return "its images are tried in child processes, to find the one at fault"
    return (
        f"the part is tried again, on another worker where there is one (attempt {after.attempt})"
    )
