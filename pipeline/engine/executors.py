"""Running tasks: in this process, or on Dask workers with a bounded number of tasks in flight.

Nothing else in the package but `clusters/` knows Dask. The store is the truth about what is done,
so a scheduler or a worker may die at any moment; a part on which a worker died is run again in a
child process that finds the image at fault (`pipeline.engine.poison`).
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from pipeline import pulse
from pipeline.dag import Node
from pipeline.engine.clusters.local import local_cluster
from pipeline.engine.drive import Executor
from pipeline.engine.health.device_fault import DeviceFault
from pipeline.engine.health.guard import Guard
from pipeline.engine.health.inline import reporting
from pipeline.engine.health.on_worker import attended
from pipeline.engine.machine import (
    THREAD_VARIABLES,
    cores,
    default_workers,
    needs_gpu,
    why_fewer,
)
from pipeline.engine.task import Outcome, Task, execute
from pipeline.errors import UserError

_CONNECT_WAIT = 15  # seconds to wait for a scheduler
_GLANCE = 0.05  # seconds between two looks for a finished task: another one is waiting there
_POLL = 5.0  # seconds between two looks whether any worker is left
_WORKER_WAIT = 60  # seconds to wait for the first worker of a scheduler


class Inline:
    """Runs each task at once in this process, for debugging; one torch thread, like a worker.

    What hangs here cannot be ended, only reported. Once the device is lost, tasks are run in
    children.
    """

    def __init__(self, stall: float | None = None) -> None:
        self._finished: list[tuple[Task, Outcome | BaseException]] = []
        self._stall = stall
        self._lost = False

    def has_room(self) -> bool:
        return not self._finished

    def submit(self, task: Task) -> None:
        task = replace(task, careful=task.careful or self._lost, stall=self._stall)
        try:
            with pulse.task(task.part):
                self._finished.append((task, execute(task)))
        except Exception as error:
            self._lost = self._lost or isinstance(error, DeviceFault)
            self._finished.append((task, error))

    def wait(self) -> tuple[Task, Outcome | BaseException] | None:
        return self._finished.pop(0) if self._finished else None


class OnDask:
    """Runs tasks on the workers of a Dask client, about two for each worker thread in flight."""

    def __init__(
        self,
        client: Any,
        say: Callable[[str], None],
        stall: float | None = None,
        here: bool = False,
    ) -> None:
        from dask.distributed import as_completed

        self._client, self._say = client, say
        self._guard = Guard(client, stall, say, here)
        self._gpus: bool | None = None  # whether any worker offers one; asked when it matters
        self._completed = as_completed(raise_errors=False)
        self._tasks: dict[str, tuple[Any, Task]] = {}
        self._called_back: list[tuple[Task, BaseException]] = []

    def has_room(self) -> bool:
        return len(self._tasks) < 2 * max(1, self._threads())

    def _threads(self) -> int:
        """Worker threads that the scheduler has now; UserError when it does not answer."""
        client = self._client
        try:
            ncores = client.sync(client.scheduler.ncores, callback_timeout=_CONNECT_WAIT)
        except (OSError, TimeoutError):
            raise _scheduler_gone() from None
        return sum(ncores.values())

    def submit(self, task: Task) -> None:
        """Sends a task, with `GPU: 1` when one of its nodes asks for one."""
        on_gpu = [node.name for node in task.nodes if needs_gpu(node)]
        gpu = bool(on_gpu)
        if gpu and self._gpus is None:
            self._gpus = self._client.run_on_scheduler(_offers_gpu)
        if gpu and not self._gpus:
            raise UserError(
                f"'{on_gpu[0]}' asks for a GPU (device: cuda), and no worker offers one",
                hint="start workers with `dask worker ADDRESS --resources GPU=1`, or set "
                "`device: cpu`",
            )
        task = self._guard.prepared(task)
        future = self._client.submit(
            attended,
            task,
            key=f"{task.nodes[-1].name}-{task.part}-{uuid4().hex[:8]}",
            pure=False,
            resources={"GPU": 1} if gpu else None,
            **self._guard.places(task),
        )
        self._tasks[future.key] = (future, task)
        self._completed.add(future)

    def wait(self) -> tuple[Task, Outcome | BaseException] | None:
        """The next task to finish; UserError when the scheduler is gone."""
        asked, alone = monotonic(), False
        while self._tasks or self._called_back:
            if self._guard.due():
                self._watched(self._look)
            if self._called_back:
                return self._called_back.pop(0)
            if self._completed.has_ready():
                if finished := self._finished(next(self._completed)):
                    return finished
                continue
            sleep(_GLANCE)
            if monotonic() - asked > _POLL:
                asked, was_alone = monotonic(), alone
                alone = self._threads() == 0
                if alone and not was_alone:
                    self._say("no worker is left: waiting for one (Ctrl-C to stop)")
        return None

    def _finished(self, future: Any) -> tuple[Task, Outcome | BaseException] | None:
        """What a future gave; None when nobody waits for it any more, or it is sent again."""
        _, task = self._tasks.pop(future.key, (None, None))
        if task is None:
            return None
        if future.status == "cancelled":
            raise _scheduler_gone()
        outcome = future.exception() or future.result()
        future.release()
        known = self._watched(lambda: self._guard.finished(task, outcome, self._recall))
        return (task, outcome) if known else None

    def _look(self) -> None:
        """Calls tasks back that have stalled."""
        tasks = {key: task for key, (_, task) in self._tasks.items()}
        self._called_back += self._guard.look(tasks, self._recall)

    def _recall(self, keys: Sequence[str]) -> dict[str, Task]:
        """Takes those of our tasks out of flight that have these keys."""
        found = {key: self._tasks.pop(key) for key in keys if key in self._tasks}
        self._client.cancel([future for future, _ in found.values()])
        return {key: task for key, (_, task) in found.items()}

    def _watched(self, ask: Callable[[], Any]) -> Any:
        """What `ask` says, once what the guard took back through no fault of its own is sent."""
        try:
            answer = ask()
            while self._guard.again:
                self.submit(self._guard.again.pop())
        except (OSError, TimeoutError):
            raise _scheduler_gone() from None
        return answer


def _offers_gpu(dask_scheduler: Any) -> bool:
    return bool(dask_scheduler.resources.get("GPU"))


def _scheduler_gone() -> UserError:
    return UserError(
        "the Dask scheduler went away",
        hint="start it again and run the same command: finished parts are kept",
    )


@contextmanager
def executor(
    nodes: Sequence[Node],
    inline: bool,
    scheduler: str | None,
    workers: int | None,
    say: Callable[[str], None],
    stall: float | None = None,
) -> Iterator[Executor]:
    """An executor, closed on the way out: here, on a running scheduler, or on a local cluster.

    `workers` None: one for each core, or a single one where `nodes` may use this machine's GPU.
    Worker processes share the cores: threads = cores // workers. `say` gets lines for the user.
    What gives no sign of life for `stall` seconds is ended and tried again (None: never).
    """
    if inline:
        with _environment(dict.fromkeys(THREAD_VARIABLES, "1")), reporting(stall, say):
            yield Inline(stall)
        return
    from dask.distributed import Client

    for name in ("distributed", "tornado", "asyncio"):  # what matters is said in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler:
        try:
            client = Client(scheduler, timeout=_CONNECT_WAIT)
        except (OSError, TimeoutError, ValueError) as error:
            raise UserError(
                f"there is no Dask scheduler at {scheduler}: {error}",
                hint="start one with `dask scheduler`, and workers with `dask worker ADDRESS`",
            ) from None
        with client:
            _await_worker(client, scheduler)
            yield OnDask(client, say, stall)
        return
    if workers is None:
        workers = default_workers(nodes)
        if workers < cores():
            say(why_fewer(workers, nodes))
    gpu = any(needs_gpu(node) for node in nodes)
    with local_cluster(workers, gpu) as cluster, Client(cluster) as client:
        yield OnDask(client, say, stall, here=True)


def _await_worker(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_WORKER_WAIT)
    except TimeoutError:
        raise UserError(
            f"the scheduler at {scheduler} has no worker after {_WORKER_WAIT} s",
            hint=f"start one with `dask worker {scheduler} --nthreads 1`",
        ) from None


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the time of a run; libraries read them when they are imported."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
