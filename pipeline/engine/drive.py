"""Driving tasks from a queue through an executor until nothing is left to do."""

from collections.abc import Sequence
from typing import Any, Protocol

from pipeline.dag.graph import Node
from pipeline.engine.health.attempts import following
from pipeline.engine.task import Outcome, Room, Task
from pipeline.errors import UserError, many, worded

_MAX_FAILED_PARTS = 3  # of one node: then the node is at fault, and the run stops


class Queue(Protocol):
    """A source of tasks: `pipeline.engine.queues.schedule.Schedule`, or the listing's queue.

    `pop` gives the next task whose nodes `has_room` takes, or None.
    """

    def pop(self, has_room: Room) -> Task | None: ...

    def finish(self, node: str, part: str) -> None: ...


class Shared(Queue, Protocol):
    """A queue whose tasks other runs may have begun: `pipeline.engine.queues.shared.SharedQueue`.

    `settled(task)` says that a task is over, however it went. `wait`, when nothing is in flight and
    nothing can be had, waits a little for other runs; False when there is nothing to wait for.
    """

    def settled(self, task: Task) -> None: ...

    def wait(self) -> bool: ...


class Executor(Protocol):
    """Runs tasks; `wait` returns one finished task with its outcome or the exception it raised."""

    def has_room(self, nodes: Sequence[Node] = ()) -> bool: ...

    def submit(self, task: Task) -> None: ...

    def wait(self) -> tuple[Task, Outcome | BaseException] | None: ...


def drive(queue: Shared, executor: Executor, on_part: Any, on_failure: Any) -> int:
    """Runs everything that the queue hands out; returns the number of parts that failed.

    `on_part(receipt)` after each commit, `on_failure(node, part, why)` for a part that could not be
    computed. A part that hung, or whose worker died, is tried again (`health.attempts`).
    A UserError stops the run, and so do several failed parts of one node.
    """
    failed: dict[str, int] = {}
    while True:
        while task := queue.pop(executor.has_room):
            executor.submit(task)
        finished = executor.wait()
        if finished is None:
            if queue.wait():
                continue
            return sum(failed.values())
        task, outcome = finished
        if isinstance(outcome, UserError):
            raise outcome
        if isinstance(outcome, BaseException):
            if (again := following(task, outcome)) is not None:
                executor.submit(again)
                continue
            why = worded(outcome)
            outcome = Outcome((), tuple((node.name, why) for node in task.nodes))
        queue.settled(task)
        for receipt in outcome.receipts:
            queue.finish(receipt.node, receipt.part)
            on_part(receipt)
        for node, why in outcome.failures:
            on_failure(node, task.part, why)
            failed[node] = failed.get(node, 0) + 1
            if failed[node] >= _MAX_FAILED_PARTS:
                raise UserError(
                    f"{many(failed[node], 'part')} of '{node}' failed; the last with {why}",
                    f"part {task.part}",
                    "mend the cause and run the same command again: finished parts are kept",
                )
