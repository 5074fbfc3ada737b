"""The guard of a run on Dask: reports what has stalled, ends its worker, calls the task back."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from pipeline.engine.health import workers
from pipeline.engine.health.attempts import Stalled, next_step
from pipeline.engine.health.device_fault import DeviceFault
from pipeline.engine.health.watch import Stall, Watch
from pipeline.engine.health.workers import WorkerView
from pipeline.engine.task import Outcome, Task
from pipeline.errors import UserError

# is told how many images each node has made in parts that are not finished, and who loads models
Going = Callable[[Mapping[str, int], Collection[str]], None]
Recall = Callable[[Sequence[str]], dict[str, Task]]  # takes tasks of ours out of flight, by key

_LOOK = 5.0  # seconds between two looks at the workers, at most
IDLE_WAIT = 60  # seconds for which tasks may wait, none running, before that is said
GONE_WAIT = 120  # seconds for which a machine's own workers may all be gone


def unheard(done: Mapping[str, int], loading: Collection[str]) -> None:
    """A `Going` that nobody listens to."""


class Guard:
    """Watches the tasks that an executor has in flight.

    `stall` is in seconds (None: whatever hangs is left to itself), `say` gets lines for the user.
    `here`: the workers belong to this run and this machine alone, so that nobody else brings any.
    `going` is told at each look how far the tasks in flight are.
    `again` has tasks that are to be sent again, through no fault of theirs.
    """

    def __init__(
        self,
        client: Any,
        stall: float | None,
        say: Callable[[str], None],
        here: bool = False,
        going: Going = unheard,
    ):
        self._client, self._say, self._here, self._going = client, say, here, going
        self._watch = Watch(stall)
        self._period = min(_LOOK, (stall or _LOOK) / 4)
        self._looked = self._peopled = self._busy = monotonic()
        self._idle_said = False
        self._view: list[WorkerView] = []
        self.again: list[Task] = []

    def due(self) -> bool:
        """Whether it is time for another look."""
        return monotonic() - self._looked > self._period

    def look(self, tasks: Mapping[str, Task], recall: Recall) -> list[tuple[Task, Stalled]]:
        """The tasks (of those in flight, by key) that have stalled, each with why.

        Their workers are ended; what else these had to do is recalled, too, and waits in `again`:
        Dask would count the end against it. OSError or TimeoutError when the scheduler does not
        answer; UserError when all workers of this machine are gone for good.
        """
        self._view = workers.view(self._client)
        self._tell(tasks)
        self._check_any()
        self._check_idle(tasks)
        stalls = self._watch.look(self._view, tasks)
        found: list[tuple[Task, Stalled]] = []
        for worker in self._view:
            mine = {stall.key: stall for stall in stalls if stall.worker.address == worker.address}
            if not mine:
                continue
            where = {key: workers.stack(self._client, worker, key) for key in mine}
            end = self._end(worker, recall, set(mine))
            for key, stall in mine.items():
                error = Stalled(stall.why, worker.name)
                self._report(stall, tasks[key], where[key], end, error)
                found.append((tasks[key], error))
        self._looked = monotonic()
        return found

    def _tell(self, tasks: Mapping[str, Task]) -> None:
        done: Counter[str] = Counter()
        loading = set()
        for worker in self._view:
            for counts in (some for key, some in worker.done.items() if key in tasks):
                done.update(counts)
            loading |= {node for key, (_, node, loads) in worker.running.items() if loads}
        self._going(done, loading)

    def _end(self, worker: WorkerView, recall: Recall, at_fault: Collection[str]) -> str:
        """Ends a worker once its tasks are recalled; those not `at_fault` are to be sent again."""
        recalled = recall(worker.processing)
        end = workers.restart(self._client, worker)
        self.again += [task for key, task in recalled.items() if key not in at_fault]
        return end

    def _report(self, stall: Stall, task: Task, where: str, end: str, error: Stalled) -> None:
        node = stall.node or task.nodes[-1].name
        self._say(
            f"{node}: {task.part} on {stall.worker.place}: {stall.why}, {where}; {end}, and "
            f"{next_step(task, error)}"
        )

    def _check_any(self) -> None:
        if self._view or not self._here:
            self._peopled = monotonic()
        elif monotonic() - self._peopled > GONE_WAIT:
            raise UserError(
                f"all workers are gone, and none could be started for {GONE_WAIT} s",
                hint="look for what ends processes here (memory, limits, a full disk), then run "
                "the same command again: finished parts are kept",
            )

    def _check_idle(self, tasks: Mapping[str, Task]) -> None:
        """Says, once, that tasks wait and no worker runs any, and what the workers do instead."""
        running = {key for worker in self._view for key in worker.running}
        if not tasks or not self._view or running & set(tasks):
            self._busy, self._idle_said = monotonic(), False
        elif monotonic() - self._busy > IDLE_WAIT and not self._idle_said:
            self._idle_said = True
            doing = ", ".join(f"{one.place} {_doing(one, tasks)}" for one in self._view[:4])
            more = f", and {len(self._view) - 4} more" if len(self._view) > 4 else ""
            self._say(f"nothing runs, and parts wait ({len(tasks)}): {doing}{more}")

    def finished(self, task: Task, outcome: Outcome | BaseException, recall: Recall) -> bool:
        """Takes note of how a task ended. False: it was never begun, and waits in `again`."""
        if isinstance(outcome, Outcome):
            self._watch.finished(task, outcome)
        elif isinstance(outcome, DeviceFault):
            if not outcome.first:
                self.again.append(task)
                return False
            self._end_faulty(task, outcome, recall)
        elif type(outcome).__name__ == "KilledWorker":
            self._say(f"{_names(task)}: {task.part}: its workers died; {next_step(task, outcome)}")
        return True

    def _end_faulty(self, task: Task, fault: DeviceFault, recall: Recall) -> None:
        view = workers.view(self._client)
        worker = next((one for one in view if one.name == fault.worker), None)
        end = self._end(worker, recall, ()) if worker else "the worker has gone"
        place = worker.place if worker else f"worker {fault.worker}"
        self._say(
            f"{_names(task)}: {task.part} on {place}: the device is lost to its process "
            f"({fault.why}); {end}, and {next_step(task, fault)}"
        )

    def prepared(self, task: Task) -> Task:
        """The task, told how long its children may take when it is to be run with care."""
        if not task.careful:
            return task
        return replace(task, stall=self._watch.stall, forecast=self._watch.forecast(task))

    def places(self, task: Task) -> dict[str, Any]:
        """Arguments of `Client.submit` that keep a task from the worker that it stalled on."""
        if not task.avoid:
            return {}
        others = [w.address for w in workers.view(self._client) if w.name != task.avoid]
        return {"workers": others, "allow_other_workers": True} if others else {}


def _doing(worker: WorkerView, tasks: Mapping[str, Task]) -> str:
    if worker.status == "paused":
        return "is paused by Dask, for want of memory (see --memory-limit of `dask worker`)"
    if worker.status != "running":
        return f"is {worker.status.replace('_', ' ')}"
    if set(worker.processing) - set(tasks):
        return "works for somebody else"
    return "has not begun" if worker.processing else "has nothing that it could run"


def _names(task: Task) -> str:
    return ", ".join(node.name for node in task.nodes)
