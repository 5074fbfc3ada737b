"""What this machine has, and how many workers a run gets from it."""

import pytest

from pipeline.dag.cluster import Local
from pipeline.dag.graph import load
from pipeline.engine import machine
from pipeline.engine.machine import Workers
from pipeline.errors import UserError
from pipeline.plan import estimate


@pytest.fixture
def nodes(write_dag, fake_models):
    path = str(write_dag(models=fake_models))
    return lambda *overrides: list(load(path, list(overrides)).nodes.values())


@pytest.fixture
def box(monkeypatch):
    """A machine of 16 cores, 100 GB and as many GPUs as asked for."""

    def make(gpus: int, cores: int = 16, memory: float = 100e9):
        monkeypatch.setattr(machine, "cores", lambda: cores)
        monkeypatch.setattr(machine, "gpus", lambda: [str(i) for i in range(gpus)])
        monkeypatch.setattr(machine.memory_size, "weights", lambda spec: 100_000_000)
        monkeypatch.setattr("distributed.system.MEMORY_LIMIT", memory)

    return make


@pytest.mark.parametrize(("memory", "workers"), [(100e9, 4), (5e9, 2), (1e9, 1)])
def test_no_more_workers_than_memory_has_room_for(nodes, box, memory, workers):
    box(gpus=0, cores=4, memory=memory)
    assert machine.memory_of_worker(nodes()) == 1_500_000_000 + 2 * 3 * 100_000_000
    assert machine.default_workers(nodes()) == workers
    assert machine.workers_here(nodes(), Local()) == Workers(workers)
    said = machine.about(Workers(2), nodes())
    assert said.startswith("2 of 4 possible workers: each takes about 2.1 GB of memory")
    assert machine.about(Workers(4), nodes()) is None


def test_one_worker_has_each_gpu_and_half_of_the_cores_have_cpu_workers(nodes, box):
    box(gpus=2)
    found = machine.workers_here(nodes(), Local())
    assert found == Workers(8, ("0", "1"))
    assert machine.default_workers(nodes()) == 2
    assert machine.about(found, nodes()).startswith(
        "2 workers, one for each GPU, and 8 for nodes that use none"
    )


def test_cpu_workers_leave_the_device_workers_their_memory(nodes, box):
    box(gpus=2, memory=12e9)  # 10.8 of it; device workers with two models take 1.9 each
    assert machine.workers_here(nodes(), Local()).cpu == 4  # with one model 1.7 each
    box(gpus=2, memory=2e9)
    assert machine.workers_here(nodes(), Local()).cpu == 1


@pytest.mark.parametrize(
    ("settings", "asked", "expected"),
    [
        ({"gpus": 1, "cpu_workers": 3}, None, Workers(3, ("0",))),
        ({"cpu_workers": 0}, None, Workers(0, ("0", "1"))),
        ({"gpus": 0}, None, Workers(16)),
        ({"gpus": 0, "workers": 5}, None, Workers(5)),
        ({"workers": 5}, None, Workers(3, ("0", "1"))),
        ({"workers": 5}, 1, Workers(0, ("0",))),
        ({}, 4, Workers(2, ("0", "1"))),
        ({"gpus": 2}, 1, Workers(0, ("0", "1"))),
    ],
)
def test_the_dag_and_the_command_line_say_how_many(nodes, box, settings, asked, expected):
    box(gpus=2)
    assert machine.workers_here(nodes(), Local(**settings), asked) == expected


def test_nodes_that_are_to_run_on_the_cpu_use_no_gpu(nodes, box):
    box(gpus=2)
    off = [f"{name}.clip.device=cpu" for name in ("image_embeddings", "text_embeddings")]
    off += [f"{name}.clip.device=cpu" for name in ("regions", "object_embeddings")]
    assert machine.workers_here(nodes("captions.device=cpu", *off), Local()) == Workers(16)
    using = [node.name for node in nodes(*off) if machine.uses_device(node)]
    assert using == ["captions"]


@pytest.mark.parametrize(
    ("gpus", "override", "settings", "message"),
    [
        (0, "captions.device=cuda", {}, r"'captions' asks for a GPU .* this run has none"),
        (2, "captions.device=cuda", {"gpus": 0}, r"'captions' asks for a GPU"),
        (2, "captions.device=cuda:1", {}, r"asks for cuda:1, and each worker sees one GPU alone"),
        (1, "captions.device=auto", {"gpus": 2}, r"cluster\.gpus is 2, and this machine has 1"),
    ],
)
def test_a_gpu_that_is_not_there_is_said_before_anything_starts(
    nodes, box, gpus, override, settings, message
):
    box(gpus=gpus)
    with pytest.raises(UserError, match=message) as error:
        machine.check_gpus(nodes(override), Local(**settings))
    assert error.value.hint
    assert machine.default_workers(nodes(override)) >= 1  # a plan for another machine


def test_a_plan_is_for_as_many_workers_as_gpus(write_dag, fake_models, box):
    path = str(write_dag(models=fake_models))
    workers = lambda *overrides: machine.planned_gpus(load(path, list(overrides)))  # noqa: E731
    box(gpus=2)
    assert (workers(), workers("cluster.gpus=1"), workers("cluster.gpus=0")) == (2, 1, None)
    assert workers("cluster={kind: slurm, gpu_workers: 6}") is None  # it says so itself
    box(gpus=0)
    assert (workers(), workers("cluster.gpus=4")) == (None, 4)
    assert estimate.workers_of(load(path, ["cluster={kind: slurm, gpu_workers: 6}"]), None) == 6
    hosts = "cluster={kind: ssh, hosts: [a, b], gpus: 4}"
    assert estimate.workers_of(load(path, [hosts]), None) == 8


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["0", "1"]),
        ("", []),
        ("-1", []),
        ("1", ["1"]),
        ("1,0", ["1", "0"]),
        ("0,7,1", ["0"]),  # as CUDA: what follows a device that is not there is not seen
        ("GPU-8a,GPU-9b", ["GPU-8a", "GPU-9b"]),
    ],
)
def test_gpus_are_those_that_cuda_would_show(monkeypatch, visible, found):
    devices = ["nvidia0", "nvidia1"]
    monkeypatch.setattr(machine.Path, "glob", lambda self, pattern: iter(devices))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.gpus() == found
    devices.clear()
    assert machine.gpus() == []
