"""Workers of a scheduler that others run, which come and go while a run goes on."""

import time

import pytest
from dask.distributed import LocalCluster, Worker

from pipeline.dag.graph import load
from pipeline.engine import executors, workforce
from pipeline.engine.task import Task
from pipeline.errors import UserError


@pytest.fixture
def cluster(monkeypatch):
    """A scheduler with one worker that offers nothing, all in this process."""
    monkeypatch.setattr(executors, "_POLL", 0.1)
    monkeypatch.setattr(workforce, "_FRESH", 0.0)
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        host="127.0.0.1",
        protocol="tcp://",
        dashboard_address=None,
    ) as started:
        yield started


def offer(cluster, name, **resources):
    options = {"nthreads": 2, "resources": resources, "host": "127.0.0.1"}
    cluster.worker_spec[name] = {"cls": Worker, "options": options}
    cluster.scale(len(cluster.worker_spec))


def take_away(cluster, name):
    del cluster.worker_spec[name]
    cluster.scale(len(cluster.worker_spec))


def soon(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_gpu_that_comes_late_or_comes_back_is_waited_for_and_used(
    cluster, write_dag, fake_models, monkeypatch, tmp_path
):
    monkeypatch.setattr(executors, "attended", lambda task: task.part)
    nodes = load(str(write_dag(models=fake_models)), ["captions.device=cuda"]).nodes
    captions, objects = (nodes["captions"],), (nodes["objects"],)
    said = []

    def say(line):
        said.append(line)
        if "waiting for one" in line:
            offer(cluster, f"gpu-{len(said)}", GPU=2)

    with executors.executor([], False, cluster.scheduler_address, None, say) as running:
        running.submit(Task(tmp_path, captions, "late"))
        assert running.wait()[1] == "late"
        take_away(cluster, "gpu-1")  # named after the line that asked for it
        soon(lambda: len(cluster.scheduler.workers) == 1)
        running.submit(Task(tmp_path, captions, "back"))
        running.submit(Task(tmp_path, objects, "meanwhile"))
        assert running.wait()[1] == "meanwhile"
        assert running.wait()[1] == "back"
    told = f"dask worker {cluster.scheduler_address} --nthreads 2 --resources GPU=2"
    assert len(said) == 4 and told in said[0] and told in said[2]
    assert said[0].startswith("'captions' needs a worker that offers GPU, and none is there")
    assert said[2].startswith("'captions' needs a worker that offers GPU, and none is left")
    assert said[1] == said[3] == "a worker that offers GPU is there: going on"


def test_a_gpu_that_never_comes_ends_the_run(
    cluster, write_dag, fake_models, monkeypatch, tmp_path
):
    monkeypatch.setattr(workforce, "_PATIENCE", 0.5)
    nodes = load(str(write_dag(models=fake_models)), ["captions.device=cuda"]).nodes
    said = []
    with executors.executor([], False, cluster.scheduler_address, None, said.append) as running:
        running.submit(Task(tmp_path, (nodes["captions"],), "p"))
        with pytest.raises(UserError, match="'captions' needs a worker that offers GPU") as error:
            running.wait()
    assert "--resources GPU=2" in error.value.hint and len(said) == 1


def test_a_scheduler_that_wants_a_certificate_says_where_to_name_it(monkeypatch):
    from pipeline.engine.clusters.local import local_cluster
    from pipeline.engine.machine import Workers

    with (
        local_cluster(Workers(1)) as mine,
        pytest.raises(UserError, match="asks for a certificate") as error,
        executors.executor([], False, mine.scheduler_address, None, print),
    ):
        pass
    assert "distributed.comm.tls" in error.value.hint
