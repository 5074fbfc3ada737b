"""Running tasks: in this process, or on Dask workers with a bounded number of tasks in flight.

Nothing else in the package but `clusters/` knows Dask. The store is the truth about what is done,
so a scheduler or a worker may die at any moment; a part on which a worker died is run again in a
child process that finds the image at fault (`pipeline.engine.poison`).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from pipeline import pulse
from pipeline.corpus.decoders import THREAD_VARIABLES
from pipeline.dag.cluster import Cluster, Local
from pipeline.dag.graph import Node
from pipeline.engine import clusters
from pipeline.engine.drive import Executor
from pipeline.engine.health.device_fault import DeviceFault
from pipeline.engine.health.guard import Going, Guard, unheard
from pipeline.engine.health.inline import reporting
from pipeline.engine.health.on_worker import attended
from pipeline.engine.machine import uses_device
from pipeline.engine.task import Outcome, Task, execute
from pipeline.engine.workforce import Kind, Workforce, scheduler_gone
from pipeline.errors import UserError
from pipeline.plugins import offered
from pipeline.shipped import environment

_CONNECT_WAIT = 15  # seconds to wait for a scheduler
_GLANCE = 0.05  # seconds between two looks for a finished task: another one is waiting there
_POLL = 5.0  # seconds between two looks whether there are the workers that tasks need
_WORKER_WAIT = 60  # seconds to wait for the first worker of a scheduler
_HERE = Local()
_NOT_READ = "Error during deserialization"  # how Dask's own message begins


class Inline:
    """Runs each task at once in this process, for debugging; one torch thread, like a worker.

    What hangs here cannot be ended, only reported. Once the device is lost, tasks are run in
    children.
    """

    def __init__(self, stall: float | None = None) -> None:
        self._finished: list[tuple[Task, Outcome | BaseException]] = []
        self._stall = stall
        self._lost = False

    def has_room(self, nodes: Sequence[Node] = ()) -> bool:
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

    def __init__(self, client: Any, workforce: Workforce, guard: Guard) -> None:
        from dask.distributed import as_completed

        self._client, self._workforce, self._guard = client, workforce, guard
        self._completed = as_completed(raise_errors=False)
        self._tasks: dict[str, tuple[Any, Task]] = {}
        self._kinds: dict[str, Kind] = {}  # what each task in flight asked for
        self._called_back: list[tuple[Task, BaseException]] = []
        self._reported = monotonic()

    def has_room(self, nodes: Sequence[Node] = ()) -> bool:
        """Whether a task of `nodes` may be submitted: GPUs and CPUs have room of their own."""
        kind = self._workforce.kind(nodes)
        return self._workforce.has_room(kind, list(self._kinds.values()).count(kind))

    def submit(self, task: Task) -> None:
        """Sends a task, to a worker that offers what its nodes need."""
        kind = self._workforce.kind(task.nodes)
        task = self._guard.prepared(task)
        future = self._client.submit(
            attended,
            task,
            key=f"{task.nodes[-1].name}-{task.part}-{uuid4().hex[:8]}",
            pure=False,
            resources={kind: 1} if kind else None,
            **self._guard.places(task),
        )
        self._tasks[future.key], self._kinds[future.key] = (future, task), kind
        self._completed.add(future)

    def wait(self) -> tuple[Task, Outcome | BaseException] | None:
        """The next task to finish; UserError when the scheduler is gone."""
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
            if monotonic() - self._reported > _POLL:
                self._reported = monotonic()
                self._workforce.report(self._in_flight())
        return None

    def _finished(self, future: Any) -> tuple[Task, Outcome | BaseException] | None:
        """What a future gave; None when nobody waits for it any more, or it is sent again."""
        _, task = self._tasks.pop(future.key, (None, None))
        if task is None:
            return None
        kind = self._kinds.pop(future.key)
        if future.status == "cancelled":
            raise scheduler_gone()
        self._workforce.served(kind)
        outcome = _explained(future.exception()) or future.result()
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
        for key in found:
            del self._kinds[key]
        self._client.cancel([future for future, _ in found.values()])
        return {key: task for key, (_, task) in found.items()}

    def _watched(self, ask: Callable[[], Any]) -> Any:
        """What `ask` says, once what the guard took back through no fault of its own is sent."""
        try:
            answer = ask()
            while self._guard.again:
                self.submit(self._guard.again.pop())
        except (OSError, TimeoutError):
            raise scheduler_gone() from None
        return answer

    def _in_flight(self) -> dict[Kind, set[str]]:
        """The nodes of the tasks in flight that are why a kind of worker is asked for."""
        found: dict[Kind, set[str]] = {}
        for key, (_, task) in self._tasks.items():
            kind = self._kinds[key]
            names = {node.name for node in task.nodes if kind != "GPU" or uses_device(node)}
            found.setdefault(kind, set()).update(names)
        return found


def _explained(error: BaseException | None) -> BaseException | None:
    """UserError where the scheduler, or a worker, cannot make a task of what is sent."""
    if not isinstance(error, RuntimeError) or _NOT_READ not in str(error):
        return error
    files = f", with the plugins {', '.join(offered.places())}" if offered.places() else ""
    return UserError(
        "the scheduler, or a worker, cannot read the tasks that this run sends",
        hint=f"install the same item-pipeline on each of them{files}, and start them again",
    )


@contextmanager
def executor(
    nodes: Sequence[Node],
    inline: bool,
    scheduler: str | None,
    workers: int | None,
    say: Callable[[str], None],
    stall: float | None = None,
    cluster: Cluster = _HERE,
    going: Going = unheard,
) -> Iterator[Executor]:
    """An executor, closed on the way out: here, on a running scheduler, or on its own `cluster`.

    `workers` None: as many as `cluster` says. Worker processes of this machine share the cores.
    `say` gets lines for the user, `going` hears how far tasks are. What gives no sign of life for
    `stall` seconds is ended and tried again (None: never).
    """
    if inline:
        with environment(dict.fromkeys(THREAD_VARIABLES, "1")), reporting(stall, say, going):
            yield Inline(stall)
        return
    from dask.distributed import Client

    for name in ("distributed", "tornado", "asyncio"):  # what matters is said in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler:
        with _connected(scheduler) as client:
            workforce = Workforce(client, say, clusters.by_hand(scheduler))
            yield OnDask(client, workforce, Guard(client, stall, say, going=going))
        return
    with clusters.started(cluster, nodes, workers, say) as started, Client(started) as client:
        guard = Guard(client, stall, say, isinstance(cluster, Local), going)
        yield OnDask(client, Workforce(client, say, clusters.guide(cluster)), guard)


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    """A client of a running scheduler that has a worker; UserError where there is none."""
    from dask.distributed import Client

    try:
        client = Client(scheduler, timeout=_CONNECT_WAIT)
    except TypeError:  # what Dask raises for tls:// without a certificate
        raise UserError(
            f"the scheduler at {scheduler} asks for a certificate",
            hint="name its files in Dask's configuration, distributed.comm.tls",
        ) from None
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(
            f"there is no Dask scheduler at {scheduler}: {error}",
            hint="start one with `dask scheduler`, and workers with `dask worker ADDRESS`",
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKER_WAIT)
        except TimeoutError:
            raise UserError(
                f"the scheduler at {scheduler} has no worker after {_WORKER_WAIT} s",
                hint=f"start one with `dask worker {scheduler} --nthreads 1`",
            ) from None
        yield client
