"""Tasks of many runs on one store: each is computed by one of them, and nobody waits in vain."""

import json
import os
import time
from dataclasses import replace

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.dag.graph import load
from pipeline.engine.drive import drive
from pipeline.engine.executors import Inline
from pipeline.engine.queues import shared
from pipeline.engine.queues.schedule import Schedule
from pipeline.engine.queues.shared import SharedQueue
from pipeline.engine.stop import Stop
from pipeline.engine.task import Outcome, Task, execute, receipt
from pipeline.store.contents import Asked
from pipeline.store.parts import Store
from pipeline.store.sharing.claims import Claims
from pipeline.store.todo import inputs_of
from tests.helpers.stores import members

FACTS = {
    "rows_in": 1,
    "rows_ok": 1,
    "rows_failed": 0,
    "seconds_read": 0,
    "seconds_infer": 0,
    "seconds_write": 0,
    "transient": 0,
}
PARTS = [f"part-0000{number}-0000000{number}.parquet" for number in range(4)]


def commit(store, node, part):
    store.open_node(node, "small")
    table = tables.build(node.stage.output, {"image_id": ["a"]}, 2)
    folders = [path.parent for path in store.root.glob(f"*/*/{part}")]
    known = {folder.parent.name: folder for folder in folders}
    stages = {"images": "images", "captions": "caption", "objects": "parse"}
    above = {i: known.get(stages.get(i, i)) for i in inputs_of(node)}
    commits = {i: store.facts(at / part)["commit"] for i, at in above.items() if at}
    store.write(node.folder, part, table, {**FACTS, "inputs": json.dumps(commits)})


def one(part):
    """The image of a part, as it is asked for."""
    ids = pa.array(["a"], pa.string())
    return Asked(part, "clean", ids, ids, 1)


class Run:
    """One run's claims and queue of some nodes, and what it said and counted."""

    def __init__(self, store, dag, names, stop=None):
        self.store, self.said, self.counted = store, [], []
        nodes = [dag.nodes[name] for name in names]
        for node in nodes:
            store.open_node(node, "small")
        self.stop = stop or Stop()
        self.claims = Claims(store.root, self.said.append, self.stop.asked)
        self.queue = SharedQueue(
            Schedule(store, nodes, [one(part) for part in PARTS], dag.nodes),
            store,
            self.claims,
            self.stop,
            self.counted.append,
            self.said.append,
        )

    def finish(self, task):
        for node in task.nodes:
            commit(self.store, node, task.part)
            self.queue.finish(node.name, task.part)
        self.queue.settled(task)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(shared, "AGAIN", 0.01)


@pytest.fixture
def dag(write_dag, fake_models):
    return load(str(write_dag(models=fake_models)))


@pytest.fixture
def store(dag, tmp_path):
    made = Store(tmp_path / "store")
    made.create()
    for part in PARTS:
        members(made, dag.nodes["images"], part, ["a"])
    return made


def test_two_runs_get_different_parts_and_each_counts_all(dag, store):
    one, two = (Run(store, dag, ["captions"]) for _ in range(2))
    tasks = [one.queue.pop(), two.queue.pop(), one.queue.pop(), two.queue.pop()]
    assert [task.part for task in tasks] == PARTS
    assert [task.run for task in tasks] == [one.claims.id, two.claims.id] * 2
    assert one.queue.pop() is None and two.queue.pop() is None
    for run, task in zip((one, two, one, two), tasks, strict=True):
        run.finish(task)
    time.sleep(0.02)
    assert one.queue.pop() is None and two.queue.pop() is None
    assert [r.part for r in one.counted] == [PARTS[1], PARTS[3]]
    assert [r.part for r in two.counted] == [PARTS[0], PARTS[2]]
    assert not one.queue.wait() and not two.queue.wait()


def test_no_more_is_claimed_than_is_handed_out(dag, store):
    run = Run(store, dag, ["captions"])
    run.queue.pop()
    run.queue.pop()
    names = os.listdir(store.folder(dag.nodes["captions"]))
    assert sorted(name for name in names if "claim" in name) == [f".claim-{p}" for p in PARTS[:2]]


def test_what_another_run_commits_makes_tasks_ready_here(dag, store):
    one, two = Run(store, dag, ["captions"]), Run(store, dag, ["captions", "objects"])
    first = one.queue.pop()
    while task := two.queue.pop():
        two.finish(task)
    one.finish(first)
    time.sleep(0.02)
    task = two.queue.pop()
    assert ([node.name for node in task.nodes], task.part) == (["objects"], first.part)
    assert [(r.node, r.part) for r in two.counted] == [("captions", first.part)]


def test_a_joint_pass_and_a_run_of_one_of_its_nodes_exclude_each_other(dag, store):
    whole = Run(store, dag, ["captions", "image_embeddings", "objects", "regions"])
    only = Run(store, dag, ["captions"])
    joint = whole.queue.pop()
    assert len(joint.nodes) == 4 and joint.part == PARTS[0]
    single = only.queue.pop()
    assert single.part == PARTS[1]
    assert whole.queue.pop().part == PARTS[2]
    assert [r.part for r in whole.counted] == []
    only.finish(single)
    assert whole.queue.pop().part == PARTS[3]
    time.sleep(0.02)
    rest = whole.queue.pop()
    assert rest.part == PARTS[1] and len(rest.nodes) == 4  # what is there is left alone
    names = os.listdir(store.folder(dag.nodes["regions"]))
    assert f".claim-{PARTS[1]}" in names


def test_who_waits_says_for_whom_and_how_many_parts_once(dag, store):
    one, two = (Run(store, dag, ["captions"]) for _ in range(2))
    for _ in PARTS:
        one.queue.pop()
    assert two.queue.pop() is None
    assert two.queue.wait() and two.queue.wait()
    (line,) = two.said
    assert line.startswith(f"captions: 4 parts are being computed by process {os.getpid()} on ")
    assert " since " in line


def test_a_part_that_failed_elsewhere_is_tried_here(dag, store):
    one, two = (Run(store, dag, ["captions"]) for _ in range(2))
    failed = one.queue.pop()
    taken = [two.queue.pop() for _ in PARTS[1:]]
    assert two.queue.pop() is None and len(taken) == 3
    one.queue.settled(failed)
    time.sleep(0.02)
    assert two.queue.pop().part == failed.part


def test_once_asked_to_stop_nothing_is_handed_out_or_waited_for(dag, store):
    one, two = (Run(store, dag, ["captions"]) for _ in range(2))
    one.queue.pop()
    two.queue.pop()
    two.stop.why = "SIGTERM"
    assert two.queue.pop() is None and not two.queue.wait()


def test_a_task_of_a_run_that_is_to_stop_does_not_begin(dag, store):
    stop = Stop()
    run = Run(store, dag, ["captions"], stop)
    task = run.queue.pop()
    stop.why = "SIGUSR1"
    deadline = time.monotonic() + 5
    while not store.is_stopping(run.claims.id) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert execute(task) == Outcome()
    run.claims.__exit__(None, None, None)
    assert not store.has(dag.nodes["captions"], task.part)


def test_what_did_not_begin_is_neither_done_nor_failed(dag, store):
    class Stopping(Inline):
        def submit(self, task):
            self._finished.append((task, Outcome()))

    run = Run(store, dag, ["captions"])
    done, failures = [], []
    assert drive(run.queue, Stopping(), done.append, lambda *about: failures.append(about)) == 0
    assert (done, failures, run.counted) == ([], [], [])
    assert run.claims.take([dag.nodes["captions"].folder], PARTS[0]) is None


def test_driving_waits_for_another_run_and_counts_what_it_computed(dag, store):
    """The other one commits while we wait for it."""
    other, run = (Run(store, dag, ["captions"]) for _ in range(2))
    theirs = other.queue.pop()
    done = []

    class Committing(Inline):
        def submit(self, task: Task):
            run.finish(task)
            got = [receipt(store, node, task.part) for node in task.nodes]
            self._finished.append((replace(task), Outcome(tuple(got))))

        def wait(self):
            if not self._finished and not store.has(dag.nodes["captions"], theirs.part):
                assert run.queue.wait()
                other.finish(theirs)
            return super().wait()

    drive(run.queue, Committing(), done.append, None)
    assert [r.part for r in done] == PARTS[1:]
    assert [r.part for r in run.counted] == PARTS[:1]
