"""Running tasks: in this process, or on Dask workers with a bounded number of tasks in flight.

Nothing else in the package but `clusters/` knows Dask. The store is the truth about what is done,
so a scheduler or a worker may die at any moment; a part on which a worker died is run again in a
child process that finds the image at fault (`pipeline.engine.poison`).
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from pipeline.dag import Node
from pipeline.engine.clusters.local import local_cluster
from pipeline.engine.drive import Executor
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
    """Runs each task at once in this process, for debugging; one torch thread, like a worker."""

    def __init__(self) -> None:
        self._finished: list[tuple[Task, Outcome | BaseException]] = []

    def has_room(self) -> bool:
        return not self._finished

    def submit(self, task: Task) -> None:
        try:
            self._finished.append((task, execute(task)))
        except Exception as error:
            self._finished.append((task, error))

    def wait(self) -> tuple[Task, Outcome | BaseException] | None:
        return self._finished.pop(0) if self._finished else None


class OnDask:
    """Runs tasks on the workers of a Dask client, about two for each worker thread in flight."""

    def __init__(self, client: Any, say: Callable[[str], None]) -> None:
        from dask.distributed import as_completed

        self._client, self._say = client, say
        self._gpus: bool | None = None  # whether any worker offers one; asked when it matters
        self._completed = as_completed(raise_errors=False)
        self._tasks: dict[str, tuple[Any, Task]] = {}

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
        future = self._client.submit(
            execute,
            task,
            key=f"{task.nodes[-1].name}-{task.part}-{uuid4().hex[:8]}",
            pure=False,
            resources={"GPU": 1} if gpu else None,
        )
        self._tasks[future.key] = (future, task)
        self._completed.add(future)

    def wait(self) -> tuple[Task, Outcome | BaseException] | None:
        """The next task to finish; UserError when the scheduler is gone."""
        if not self._tasks:
            return None
        asked, alone = monotonic(), False
        while not self._completed.has_ready():
            sleep(_GLANCE)
            if monotonic() - asked > _POLL:
                asked, was_alone = monotonic(), alone
                alone = self._threads() == 0
                if alone and not was_alone:
                    self._say("no worker is left: waiting for one (Ctrl-C to stop)")
        future = next(self._completed)
        _, task = self._tasks.pop(future.key)
        if future.status == "cancelled":
            raise _scheduler_gone()
        outcome = future.exception() or future.result()
        future.release()
        return task, outcome


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
) -> Iterator[Executor]:
    """An executor, closed on the way out: here, on a running scheduler, or on a local cluster.

    `workers` None: one for each core, or a single one where `nodes` may use this machine's GPU.
    Worker processes share the cores: threads = cores // workers. `say` gets lines for the user.
    """
    if inline:
        with _environment(dict.fromkeys(THREAD_VARIABLES, "1")):
            yield Inline()
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
            yield OnDask(client, say)
        return
    if workers is None:
        workers = default_workers(nodes)
        if workers < cores():
            say(why_fewer(workers, nodes))
    gpu = any(needs_gpu(node) for node in nodes)
    with local_cluster(workers, gpu) as cluster, Client(cluster) as client:
        yield OnDask(client, say)


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
