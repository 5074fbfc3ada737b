"""Who has stalled: tasks and workers without a sign of life, told apart from those that wait.

Knows no Dask: it is shown what the scheduler sees (`health.workers.view`), and judges by this
process's own clock, so that clocks of different machines need not agree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import Any

from pipeline.engine.health import durations
from pipeline.engine.health.workers import WorkerView
from pipeline.engine.task import Outcome, Task
from pipeline.pulse import LOADING_WAIT

DEFAULT_STALL = 600.0  # seconds
TIMES_FORECAST = 10  # a part that takes so many times its forecast is late
_FORECAST_PARTS = 3  # finished parts of a node that make a forecast
_LATE_SHARE = 0.5  # of the stall time: nothing that has run for less is late
_LONGEST_STEP = 30.0  # seconds that count between two looks: who was stopped himself saw nothing
_QUIET_SHARE = 0.2  # of the stall time: what has given a sign within it is not late, only slow


@dataclass(frozen=True)
class Stall:
    """A task of ours that hangs (its key), and what it hangs on; `node` is '' when not known."""

    worker: WorkerView
    key: str
    node: str
    why: str


@dataclass
class _Seen:
    """A mark of a task, or of a worker, and for how many seconds it was seen, and stayed so."""

    mark: Any
    runs: float = 0.0
    quiet: float = 0.0


class Watch:
    """Keeps what was seen of each task. `stall`: seconds without a sign of life; None: never."""

    def __init__(self, stall: float | None, clock: Callable[[], float] = monotonic):
        self.stall, self._clock = stall, clock
        self._looked = clock()
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._seconds: dict[tuple[str, ...], list[float]] = {}

    def finished(self, task: Task, outcome: Outcome) -> None:
        """Learns from a task how long such a part takes."""
        if task.careful or len(outcome.receipts) < len(task.nodes):
            return
        spent = sum(r.seconds_read + r.seconds_infer + r.seconds_write for r in outcome.receipts)
        self._seconds.setdefault(_kind(task), []).append(spent)

    def forecast(self, task: Task) -> float | None:
        """Seconds that the part will take: the median of this run's; None while they are few."""
        seconds = self._seconds.get(_kind(task), [])
        return median(seconds) if len(seconds) >= _FORECAST_PARTS else None

    def look(self, workers: Sequence[WorkerView], tasks: Mapping[str, Task]) -> list[Stall]:
        """What has stalled among `tasks` (in flight, by key).

        Tasks that wait for a worker's thread have not. Only when a worker fell silent before it
        said what it runs, it may be any that it was given.
        """
        if self.stall is None:
            return []
        now = self._clock()
        step, self._looked = min(now - self._looked, _LONGEST_STEP), now
        before, self._seen = self._seen, {}
        found = []
        for worker in workers:
            ours = [key for key in worker.processing if key in tasks]
            running = {key: sign for key, sign in worker.running.items() if key in ours}
            silent = self._note(before, ("worker", worker.address), worker.heartbeat, step)
            for key, (beats, node, loading) in running.items():
                seen = self._note(before, (worker.address, key), beats, step)
                if why := self._why(tasks[key], seen, loading):
                    found.append(Stall(worker, key, node, why))
            if not running and silent.quiet > self.stall:
                found += [Stall(worker, key, "", self._no_sign()) for key in ours]
        return found

    def _note(
        self, before: Mapping[tuple[str, str], _Seen], what: tuple[str, str], mark: Any, step: float
    ) -> _Seen:
        seen = before.get(what)
        if seen is None:
            seen = _Seen(mark)
        else:
            seen.runs += step
            seen.quiet = seen.quiet + step if seen.mark == mark else 0.0
            seen.mark = mark
        self._seen[what] = seen
        return seen

    def _why(self, task: Task, seen: _Seen, loading: bool) -> str | None:
        assert self.stall is not None
        if loading:
            wait = max(self.stall, LOADING_WAIT)
            slow = f"its models were not loaded in {durations.words(wait)}"
            return slow if seen.quiet > wait else None
        if seen.quiet > self.stall:
            return self._no_sign()
        forecast = self.forecast(task)
        if task.careful or forecast is None or seen.quiet <= self.stall * _QUIET_SHARE:
            return None
        if seen.runs > max(TIMES_FORECAST * forecast, self.stall * _LATE_SHARE):
            runs, took, quiet = map(durations.words, (seen.runs, forecast, seen.quiet))
            return f"has run for {runs} (others took {took}), and no sign of life for {quiet}"
        return None

    def _no_sign(self) -> str:
        return f"no sign of life for {durations.words(self.stall or 0)}"


def _kind(task: Task) -> tuple[str, ...]:
    return tuple(node.name for node in task.nodes)
