"""What Dask's workers offer, looked at again and again: workers come and go while a run goes on.

A task asks for one `GPU`, for one `CPU`, or for nothing in particular (None): its kind. Workers
that offer `GPU` are taken for tasks with a node that may use a device, those that offer `CPU` for
all others; where no worker ever offered either, any worker does.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from pipeline.dag.graph import Node
from pipeline.engine.machine import needs_gpu, uses_device
from pipeline.errors import UserError

Kind = str | None
KINDS = ("GPU", "CPU")
_ANSWER = 15  # seconds that a scheduler may take to answer
_FRESH = 1.0  # seconds for which one look at the workers is good
_PATIENCE = 60  # seconds for which a run waits, with nothing else to do, for what never was there


@dataclass(frozen=True)
class Guide:
    """What to do about missing workers: a phrase for each kind, and whether to wait for the first.

    `patient`: a queue starts workers when it can; else nobody may be about to.
    """

    start: Mapping[Kind, str]
    patient: bool = False


@dataclass
class Workforce:
    """The workers of a Dask client's scheduler, and what a task is to ask of them."""

    client: Any
    say: Callable[[str], None]
    guide: Guide
    _slots: Counter[Kind] = field(default_factory=Counter)  # tasks at a time, by kind
    _seen: set[Kind] = field(default_factory=set)  # kinds that were offered in this run
    _lacking: set[Kind] = field(default_factory=set)  # kinds that the last look did not find
    _said: set[Kind] = field(default_factory=set)  # kinds whose lack was said
    _looked: float | None = None
    _idle_since: float | None = None

    def kind(self, nodes: Sequence[Node]) -> Kind:
        """What a task of `nodes` asks for, as things are now.

        A GPU is asked for by name (`cuda`), or taken where one was seen in this run: work is not
        left to CPUs, at a hundredth of the speed, because a machine is away for a minute.
        """
        self._look(_FRESH)
        if any(needs_gpu(node) for node in nodes):
            return "GPU"
        if "GPU" in self._seen and any(uses_device(node) for node in nodes):
            return "GPU"
        return "CPU" if "CPU" in self._seen else None

    def has_room(self, kind: Kind, in_flight: int) -> bool:
        """Whether another task of a kind may be sent: about two for each that can run at a time."""
        self._look(_FRESH)
        return in_flight < 2 * max(1, self._slots[kind])

    def report(self, in_flight: Mapping[Kind, Collection[str]]) -> None:
        """Says which kind of worker tasks wait for, once, and when there is one again.

        `in_flight` has the names of nodes for each kind that tasks were sent for. To be called
        every few seconds: a worker that is back at the second look was never missed. UserError
        when nothing else is going on and none of a kind that never was there came for a minute.
        """
        self._look(_FRESH)
        lacking = {kind for kind in in_flight if in_flight[kind] and not self._slots[kind]}
        for kind in sorted(lacking & self._lacking - self._said, key=str):
            self._said.add(kind)
            self.say(self._line(kind, in_flight[kind]))
        for kind in sorted(self._said, key=str):
            if self._slots[kind]:
                self.served(kind)
        self._lacking = lacking
        running = any(in_flight[kind] for kind in in_flight if kind not in lacking)
        if not lacking or running or lacking & self._seen or self.guide.patient:
            self._idle_since = None
            return
        self._idle_since = self._idle_since or monotonic()
        if monotonic() - self._idle_since > _PATIENCE:
            kind = min(lacking, key=str)
            needed = f"{_needed_by(in_flight[kind])} {_worker(kind)}"
            raise UserError(f"{needed}, and none came in {_PATIENCE} s", hint=self._hint(kind))

    def served(self, kind: Kind) -> None:
        """Takes note that a worker of this kind is there, or was while a task needed it."""
        self._seen.add(kind)
        if kind in self._said:
            self._said.remove(kind)
            self.say(f"{_worker(kind)} is there: going on")

    def _line(self, kind: Kind, nodes: Collection[str]) -> str:
        if kind is None:
            return f"no worker is left: waiting for one, {self.guide.start[None]} (Ctrl-C to stop)"
        there = "is left" if kind in self._seen else "is there"
        return (
            f"{_needed_by(nodes)} {_worker(kind)}, and none {there}: waiting for one, "
            f"{self._hint(kind)} (Ctrl-C to stop)"
        )

    def _hint(self, kind: Kind) -> str:
        on_cpu = ", or set `device: cpu`" if kind == "GPU" and kind not in self._seen else ""
        return self.guide.start[kind] + on_cpu

    def _look(self, fresh: float) -> None:
        """Counts what workers offer now; UserError when the scheduler does not answer."""
        if self._looked is not None and monotonic() - self._looked < fresh:
            return
        try:
            found = self.client.sync(self.client.scheduler.identity, callback_timeout=_ANSWER)
        except (OSError, TimeoutError):
            raise scheduler_gone() from None
        self._looked = monotonic()
        slots: Counter[Kind] = Counter()
        for worker in found["workers"].values():
            slots[None] += worker["nthreads"]
            for kind in KINDS:  # a worker may offer more than it has threads for
                slots[kind] += min(worker["nthreads"], int(worker["resources"].get(kind, 0)))
        self._slots = slots
        self._seen |= {kind for kind, count in slots.items() if count}


def _worker(kind: Kind) -> str:
    return f"a worker that offers {kind}" if kind else "a worker"


def _needed_by(nodes: Collection[str]) -> str:
    names = ", ".join(f"'{name}'" for name in sorted(nodes))
    return f"{names} {'needs' if len(nodes) == 1 else 'need'}"


def scheduler_gone() -> UserError:
    """The error for a scheduler that does not answer."""
    return UserError(
        "the Dask scheduler went away",
        hint="start it again and run the same command: finished parts are kept",
    )
