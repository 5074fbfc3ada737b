"""Running tasks: in this process, or on Dask workers with a bounded number of tasks in flight.

Nothing else in the package knows Dask. The store is the truth about what is done, so a scheduler or
a worker may die at any moment; a part on which a worker died is run again in a child process that
finds the image at fault (`pipeline.engine.poison`).
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Protocol
from uuid import uuid4

from pipeline.dag import Node
from pipeline.engine.task import Outcome, Task, execute
from pipeline.errors import UserError
from pipeline.models import footprint

_BARE_WORKER = 1_500_000_000  # bytes: libraries, decoded images, the part at hand; measured
_MEMORY_SHARE = 0.9  # of the machine's memory that workers may fill
_MAX_FAILED_PARTS = 3  # of one node: then the node is at fault, and the run stops
_CONNECT_WAIT = 15  # seconds to wait for a scheduler
_GLANCE = 0.05  # seconds between two looks for a finished task: another one is waiting there
_POLL = 5.0  # seconds between two looks whether any worker is left
_WORKER_WAIT = 60  # seconds to wait for the first worker of a scheduler
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

# glibc's malloc in workers. One heap for all threads, never given back and without mappings of
# their own for tensors: it stays as large as the largest part needs. By itself glibc gives each
# thread that decodes a heap, and these fill up with holes, part by part.
_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Queue(Protocol):
    """A source of tasks: `pipeline.engine.schedule.Schedule`, or the listing's queue."""

    def pop(self) -> Task | None: ...

    def finish(self, node: str, part: str) -> None: ...


class Executor(Protocol):
    """Runs tasks; `wait` returns one finished task with its outcome or the exception it raised."""

    def has_room(self) -> bool: ...

    def submit(self, task: Task) -> None: ...

    def wait(self) -> tuple[Task, Outcome | BaseException] | None: ...


def drive(queue: Queue, executor: Executor, on_part: Any, on_failure: Any) -> int:
    """Runs everything that the queue hands out; returns the number of parts that failed.

    `on_part(receipt)` after each commit, `on_failure(node, part, why)` for a part that could not be
    computed. A UserError stops the run, and so do several failed parts of one node.
    """
    failed: dict[str, int] = {}
    while True:
        while executor.has_room() and (task := queue.pop()):
            executor.submit(task)
        finished = executor.wait()
        if finished is None:
            return sum(failed.values())
        task, outcome = finished
        if isinstance(outcome, UserError):
            raise outcome
        if isinstance(outcome, BaseException):
            if _worker_died(outcome) and not task.careful:
                executor.submit(replace(task, careful=True))
                continue
            why = f"{type(outcome).__name__}: {outcome}"
            outcome = Outcome((), tuple((node.name, why) for node in task.nodes))
        for receipt in outcome.receipts:
            queue.finish(receipt.node, receipt.part)
            on_part(receipt)
        for node, why in outcome.failures:
            on_failure(node, task.part, why)
            failed[node] = failed.get(node, 0) + 1
            if failed[node] >= _MAX_FAILED_PARTS:
                raise UserError(
                    f"{failed[node]} parts of '{node}' failed; the last with {why}",
                    f"part {task.part}",
                    "mend the cause and run the same command again: finished parts are kept",
                )


def _worker_died(error: BaseException) -> bool:
    return type(error).__name__ == "KilledWorker"


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


def default_workers(nodes: Sequence[Node]) -> int:
    """One for each core that memory allows, or a single one where `nodes` may use a GPU here."""
    if _gpu_here() and any(device != "cpu" for node in nodes for device in _devices(node)):
        return 1
    from distributed.system import MEMORY_LIMIT  # knows containers' limits

    return max(1, min(cores(), int(MEMORY_LIMIT * _MEMORY_SHARE / memory_of_worker(nodes))))


def memory_of_worker(nodes: Sequence[Node]) -> int:
    """Bytes that a worker will have taken when all models of `nodes` are loaded, roughly.

    Models that are not on this machine yet count as nothing.
    """
    specs = {spec for node in nodes for spec in node.stage.models(node.parameters)}
    return _BARE_WORKER + 2 * sum(footprint.weights(spec) for spec in specs)


def _why_fewer(workers: int, nodes: Sequence[Node]) -> str:
    each = f"each takes about {memory_of_worker(nodes) / 1e9:.1f} GB of memory"
    why = "it may use the GPU" if workers == 1 and _gpu_here() else each
    return f"{workers} of {cores()} possible workers: {why} (--workers N for another number)"


def _gpu_here() -> bool:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path("/dev").glob("nvidia[0-9]*"))


def needs_gpu(node: Node) -> bool:
    """Whether a model of the node is to run on `cuda`."""
    return any(device.startswith("cuda") for device in _devices(node))


def _devices(node: Node) -> list[str]:
    specs = node.stage.models(node.parameters)
    return [str(spec.device) for spec in specs if hasattr(spec, "device")]


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
        with _environment(dict.fromkeys(_THREAD_VARIABLES, "1")):
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
            say(_why_fewer(workers, nodes))
    gpu = any(needs_gpu(node) for node in nodes)
    with _local_cluster(workers, gpu) as cluster, Client(cluster) as client:
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
def _local_cluster(workers: int, gpu: bool) -> Iterator[Any]:
    import dask
    from dask.distributed import LocalCluster

    threads = str(max(1, cores() // workers))
    settings = {
        "distributed.scheduler.allowed-failures": 1,  # one retry; then the careful run
        "distributed.nanny.pre-spawn-environ": {
            **dict.fromkeys(_THREAD_VARIABLES, threads),
            **_MALLOC,
        },
        "distributed.comm.timeouts.connect": "30s",
        # what only a dashboard shows, and costs the cores that models run on
        "distributed.worker.profile.enabled": False,  # looks at the stack a hundred times a second
        "distributed.admin.tick.interval": "500ms",  # instead of 20
        "distributed.admin.system-monitor.interval": "5s",  # instead of half a second
    }
    with dask.config.set(settings):
        with _interrupts_held():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",  # any free port: several runs may go on at once
                resources={"GPU": 1} if gpu else None,
                memory_limit=0,  # an even share each would kill workers that fit in together
                silence_logs=logging.CRITICAL,
            )
        try:
            yield cluster
        finally:
            with suppress(TimeoutError):
                cluster.close(timeout=5)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C back; threads and processes started meanwhile, and theirs, never get one.

    A terminal sends Ctrl-C to workers too. Only this process is to act on it: it closes them.
    """
    resource_tracker.ensure_running()  # when it starts later, it lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
