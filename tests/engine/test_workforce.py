"""What tasks ask of workers, and what is said when there are none; with a scheduler of our own."""

import pytest

from pipeline.dag.graph import load
from pipeline.engine import workforce
from pipeline.engine.clusters import by_hand, guide
from pipeline.engine.workforce import Workforce
from pipeline.errors import UserError


class Scheduler:
    """A Dask client whose workers are a list of (threads, resources)."""

    def __init__(self):
        self.workers, self.scheduler = [], self
        self.identity = "identity"

    def sync(self, what, callback_timeout):
        assert what == "identity"
        keys = ("nthreads", "resources")
        return {
            "workers": {str(i): dict(zip(keys, w, strict=True)) for i, w in enumerate(self.workers)}
        }


@pytest.fixture
def scene(monkeypatch, write_dag, fake_models):
    """(scheduler, workforce, what it said, nodes by name, a clock's hand)."""
    clock = [1000.0]
    monkeypatch.setattr(workforce, "monotonic", lambda: clock[0])
    path = str(write_dag(models=fake_models))
    scheduler, said = Scheduler(), []
    force = Workforce(scheduler, said.append, by_hand("tcp://here:1"))

    def later(seconds=5.0):
        clock[0] += seconds

    nodes = load(path, ["captions.device=cuda"]).nodes
    return scheduler, force, said, nodes, later


def test_where_no_worker_offers_anything_tasks_ask_for_nothing(scene):
    scheduler, force, _, nodes, _ = scene
    scheduler.workers = [(1, {}), (2, {})]
    assert force.kind([nodes["objects"]]) is None
    assert force.kind([nodes["image_embeddings"]]) is None
    assert [force.has_room(None, count) for count in (5, 6)] == [True, False]


def test_nodes_go_where_what_they_need_is_offered(scene):
    scheduler, force, _, nodes, _ = scene
    scheduler.workers = [(2, {"GPU": 2}), (1, {"CPU": 1}), (1, {"CPU": 1})]
    assert force.kind([nodes["objects"], nodes["image_embeddings"]]) == "GPU"
    assert force.kind([nodes["captions"]]) == "GPU"
    assert force.kind([nodes["objects"]]) == force.kind([nodes["images"]]) == "CPU"
    assert [force.has_room("GPU", count) for count in (3, 4)] == [True, False]
    assert [force.has_room("CPU", count) for count in (3, 4)] == [True, False]


def test_a_worker_counts_for_no_more_than_its_threads(scene):
    scheduler, force, _, _, _ = scene
    scheduler.workers = [(1, {"GPU": 8})]
    assert [force.has_room("GPU", count) for count in (1, 2)] == [True, False]


def test_workers_that_come_later_are_seen(scene):
    scheduler, force, said, nodes, later = scene
    scheduler.workers = [(1, {})]
    assert force.kind([nodes["image_embeddings"]]) is None
    scheduler.workers.append((2, {"GPU": 2}))
    later()
    assert force.kind([nodes["image_embeddings"]]) == "GPU"
    assert said == []


def test_the_last_worker_that_leaves_is_said_once_and_so_is_the_next_one_that_comes(scene):
    scheduler, force, said, nodes, later = scene
    gpu, rest = (2, {"GPU": 2}), (1, {"CPU": 1})
    scheduler.workers = [gpu, rest]
    waiting = {"GPU": {"image_embeddings", "captions"}, "CPU": {"objects"}}
    force.report(waiting)
    scheduler.workers = [rest]
    for _ in range(4):
        later()
        force.report(waiting)
    assert force.kind([nodes["image_embeddings"]]) == "GPU"  # not left to the CPU meanwhile
    assert said == [
        "'captions', 'image_embeddings' need a worker that offers GPU, and none is left: waiting "
        "for one, start one with `DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker tcp://here:1 "
        "--nthreads 2 --resources GPU=2` (Ctrl-C to stop)"
    ]
    later(3600.0)  # what was there once is waited for
    force.report({"GPU": {"captions"}})
    scheduler.workers = [gpu]
    later()
    force.report({"GPU": {"captions"}})
    assert said[1:] == ["a worker that offers GPU is there: going on"]


def test_a_worker_that_is_back_at_the_second_look_was_never_missed(scene):
    scheduler, force, said, _, later = scene
    for workers in ([(1, {})], [], [(1, {})], [], [(1, {})]):
        scheduler.workers = workers
        force.report({None: {"objects"}})
        later()
    assert said == []


def test_no_worker_at_all_is_said(scene):
    scheduler, force, said, _, later = scene
    scheduler.workers = [(1, {})]
    force.report({None: {"objects"}})
    scheduler.workers = []
    for _ in range(3):
        later()
        force.report({None: {"objects"}})
    assert said == [
        "no worker is left: waiting for one, start one with `dask worker tcp://here:1 "
        "--nthreads 1` (Ctrl-C to stop)"
    ]


def test_a_gpu_that_nobody_ever_offered_ends_the_run_once_there_is_nothing_else_to_do(scene):
    scheduler, force, said, nodes, later = scene
    scheduler.workers = [(1, {})]
    assert force.kind([nodes["captions"]]) == "GPU"
    for _ in range(30):  # other tasks go on
        later()
        force.report({"GPU": {"captions"}, None: {"objects"}})
    assert len(said) == 1 and "'captions' needs a worker that offers GPU" in said[0]
    assert "or set `device: cpu`" in said[0]
    with pytest.raises(UserError, match=r"'captions' needs .*, and none came in 60 s"):
        for _ in range(14):
            later()
            force.report({"GPU": {"captions"}})


def test_a_queue_is_waited_for_however_long_it_takes(scene, monkeypatch):
    _, force, said, _, later = scene
    from pipeline.dag.cluster import Slurm

    force.guide = guide(Slurm(kind="slurm"))
    for _ in range(100):
        later(60.0)
        force.report({"GPU": {"captions"}})
    assert len(said) == 1 and "`squeue --me` shows what its job waits for" in said[0]


def test_a_scheduler_that_does_not_answer_stops_the_run(scene):
    scheduler, force, _, _, _ = scene

    def silent(what, callback_timeout):
        raise TimeoutError

    scheduler.sync = silent
    with pytest.raises(UserError, match="the Dask scheduler went away"):
        force.kind([])
