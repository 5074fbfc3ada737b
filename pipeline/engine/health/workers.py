"""The workers of a Dask client as its scheduler sees them, and the end of one beyond help."""

from dataclasses import dataclass, field
from time import time
from typing import Any

from pipeline import pulse
from pipeline.engine.health.on_worker import DONE, METRIC

ANSWER_WAIT = 15  # seconds that the scheduler has for an answer
_STACK_WAIT = 5  # seconds that a worker has to say where it is
_RESTART_WAIT = 30  # seconds that a worker process has to end


@dataclass(frozen=True)
class WorkerView:
    """One worker: its place, its last heartbeat (a time that changes), and the tasks it has.

    `running` has, by key, the last sign (`pipeline.pulse`) of each task of this package that runs
    there, `done` what these have counted, `processing` the keys of all that it was given. `status`
    is Dask's word: `running`, or why it begins nothing.
    """

    address: str
    name: str
    status: str
    heartbeat: float
    running: dict[str, pulse.Sign]
    processing: tuple[str, ...]
    done: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """For messages: `worker 3 (tcp://10.0.0.7:4211)`."""
        known = self.address if self.name == self.address else f"{self.name} ({self.address})"
        return f"worker {known}"


def view(client: Any) -> list[WorkerView]:
    """Every worker that the scheduler has now. OSError or TimeoutError when it does not answer."""
    rows = client.run_on_scheduler(_rows, callback_timeout=ANSWER_WAIT)
    return [WorkerView(*row) for row in rows]


def _rows(dask_scheduler: Any) -> list[tuple[Any, ...]]:
    return [
        (
            worker.address,
            str(worker.name),
            worker.status.name,
            worker.last_seen,
            dict(worker.metrics.get(METRIC, {})),
            tuple(task.key for task in worker.processing),
            dict(worker.metrics.get(DONE, {})),
        )
        for worker in dask_scheduler.workers.values()
    ]


def stack(client: Any, worker: WorkerView, key: str) -> str:
    """Where a task is, in one line of the worker's own frames, or why that is not known."""
    try:
        found = client.run(
            pulse.stack, key, workers=[worker.address], callback_timeout=_STACK_WAIT
        )[worker.address]
    except (OSError, TimeoutError):
        return "where is not known: its process does not answer"
    return f"at {found}" if found else "where is not known: it is between two steps"


def restart(client: Any, worker: WorkerView) -> str:
    """Ends a worker's process, and says what became of it, in words.

    Its nanny starts another one. A worker without one, or whose nanny does not answer, is taken
    from the scheduler, and its process told to end.
    """
    try:
        answer = client.sync(
            client.scheduler.restart_workers,
            workers=[worker.address],
            timeout=_RESTART_WAIT,
            wait_for_workers=False,
            on_error="return",
            stimulus_id=f"item-restart-{time()}",
            callback_timeout=_RESTART_WAIT + ANSWER_WAIT,
        )
    except (OSError, TimeoutError):
        return "the worker could not be restarted: end its process by hand"
    if not answer:
        return "the worker has gone"
    if answer.get(worker.address) == "OK":
        return "the worker is restarted"
    return "the worker is let go: no nanny restarts it, so see to its process"
