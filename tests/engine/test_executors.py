"""The loop over an executor, without Dask: what is retried, what stops a run, what does not."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.dag.graph import load
from pipeline.engine import drive, executors
from pipeline.engine.health.attempts import Stalled
from pipeline.engine.task import Outcome, Receipt, Task
from pipeline.errors import UserError
from tests.helpers.queues import Tasks


class KilledWorker(Exception):
    """Named like Dask's, which is how the engine knows it."""


@dataclass
class Executor:
    """Answers with what `outcomes` says of a part: a list of exceptions, then success."""

    outcomes: dict
    room: int = 2
    running: list = field(default_factory=list)
    most: int = 0
    careful: list = field(default_factory=list)

    def has_room(self, nodes=()):
        return len(self.running) < self.room

    def submit(self, task):
        self.running.append(task)
        self.most = max(self.most, len(self.running))
        if task.careful:
            self.careful.append(task.part)

    def wait(self):
        if not self.running:
            return None
        task = self.running.pop(0)
        errors = self.outcomes.get(task.part, [])
        if errors:
            return task, errors.pop(0)
        done = (Receipt(task.nodes[0].name, task.part, 1, 1, 0, 0, 0, 0, 0),)
        return task, Outcome(done)


@pytest.fixture
def tasks(write_dag, fake_models):
    node = load(str(write_dag(models=fake_models))).nodes["captions"]
    return [Task(Path("store"), (node,), f"p{i}") for i in range(6)]


def driven(tasks, outcomes):
    queue, executor, failures = Tasks(list(tasks)), Executor(outcomes), []
    failed = drive.drive(
        queue, executor, lambda receipt: None, lambda node, part, why: failures.append(part)
    )
    return queue, executor, failures, failed


def test_everything_runs_with_a_bounded_number_in_flight(tasks):
    queue, executor, failures, failed = driven(tasks, {})
    assert queue.finished == [f"p{i}" for i in range(6)]
    assert executor.most == 2 and failures == [] and failed == 0


def test_a_part_that_killed_its_worker_is_run_again_with_care(tasks):
    queue, executor, failures, _ = driven(tasks, {"p1": [KilledWorker("p1")]})
    assert executor.careful == ["p1"] and failures == []
    assert sorted(queue.finished) == [f"p{i}" for i in range(6)]


def test_a_part_that_hangs_is_tried_three_times_and_then_given_up(tasks):
    hung = [Stalled("no sign of life for 10m", "1") for _ in range(4)]
    queue, executor, failures, failed = driven(tasks, {"p1": hung[:2]})
    assert executor.careful == ["p1"] and failures == []
    assert sorted(queue.finished) == [f"p{i}" for i in range(6)]
    queue, executor, failures, failed = driven(tasks, {"p1": hung})
    assert len(hung) == 1 and failures == ["p1"] and failed == 1
    assert sorted(queue.finished) == ["p0", "p2", "p3", "p4", "p5"]


def test_one_failed_part_does_not_stop_the_others(tasks):
    queue, _, failures, failed = driven(tasks, {"p1": [RuntimeError("odd")]})
    assert failures == ["p1"] and failed == 1
    assert sorted(queue.finished) == ["p0", "p2", "p3", "p4", "p5"]


def test_a_node_that_failed_is_counted_and_the_others_of_its_task_are_kept(tasks):
    done = Receipt("captions", "p0", 1, 1, 0, 0, 0, 0, 0)
    half = Outcome((done,), (("regions", "ValueError: odd"), ("objects", "regions is missing")))
    parts, failures = [], []
    executor = Executor({})
    executor.wait = lambda: (executor.running.pop(), half) if executor.running else None
    queue = Tasks(tasks[:1])
    failed = drive.drive(queue, executor, parts.append, lambda *said: failures.append(said))
    assert parts == [done] and queue.finished == ["p0"] and failed == 2
    assert failures == [
        ("regions", "p0", "ValueError: odd"),
        ("objects", "p0", "regions is missing"),
    ]


def test_several_failed_parts_of_a_node_stop_the_run(tasks):
    outcomes = {f"p{i}": [RuntimeError("odd")] for i in range(6)}
    with pytest.raises(UserError, match="3 parts of 'captions' failed; the last with Runtime"):
        driven(tasks, outcomes)


def test_a_user_error_stops_the_run_at_once(tasks):
    with pytest.raises(UserError, match="disk"):
        driven(tasks, {"p0": [UserError("the disk is full")]})


def test_a_scheduler_that_is_not_there_is_explained(monkeypatch):
    monkeypatch.setattr(executors, "_CONNECT_WAIT", 1)
    with (
        pytest.raises(UserError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9"),
        executors.executor([], False, "tcp://127.0.0.1:9", None, print),
    ):
        pass
