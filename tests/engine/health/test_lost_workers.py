"""Workers and schedulers that go away: what is left goes on, and no wait is without a word."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from threading import Timer

import pytest
from distributed import Client, LocalCluster

from pipeline.engine import drive, executors
from pipeline.engine.health import guard, workers
from pipeline.engine.health.guard import Guard
from pipeline.engine.health.workers import WorkerView
from pipeline.errors import UserError
from tests.helpers.queues import Tasks


@contextmanager
def scheduler(count):
    """A scheduler and workers in threads of this process: they are there at once."""
    with LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        yield cluster


def driven(queue, address, said, stall=5.0):
    with executors.executor([], False, address, None, said.append, stall=stall) as executor:
        drive.drive(queue, executor, lambda receipt: None, lambda *why: said.append(why))


def test_a_worker_that_leaves_between_tasks_is_not_missed(bench):
    said, parts = [], [task.part for task in bench.tasks]
    with scheduler(2) as cluster:

        def leave():
            with Client(cluster) as client:
                client.retire_workers([min(cluster.scheduler.workers)], close_workers=True)

        queue = Tasks(list(bench.tasks), {1: leave})
        driven(queue, cluster.scheduler_address, said)
        assert len(cluster.scheduler.workers) == 1
    assert said == []
    assert sorted(queue.finished) == parts and bench.rows() == {}


def test_that_no_worker_is_left_is_said_and_the_next_one_goes_on(bench, monkeypatch):
    monkeypatch.setattr(executors, "_POLL", 0.2)
    with scheduler(1) as cluster:
        (only,) = cluster.scheduler.workers

        class Heard(list):
            """Starts a worker once it is said that there is none."""

            def append(self, line):
                super().append(line)
                cluster.scale(2)

        def leave():
            with Client(cluster) as client:
                client.retire_workers([only], close_workers=True)

        said = Heard()
        queue = Tasks(list(bench.tasks), {2: leave})
        driven(queue, cluster.scheduler_address, said)
    assert sorted(queue.finished) == [task.part for task in bench.tasks] and bench.rows() == {}
    assert said[0].startswith("no worker is left: waiting for one")


@contextmanager
def by_hand(folder, count):
    """The address of a scheduler, its process, and those of workers without nannies."""
    file = folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    first = ["scheduler", "--host", "127.0.0.1", "--port", "0"]
    second = ["worker", "--nthreads", "1", "--no-nanny"]
    common = ["--no-dashboard", "--scheduler-file", str(file)]
    processes = [
        subprocess.Popen([sys.executable, "-m", "dask", *command, *common], **quiet)
        for command in [first] + [second] * count
    ]
    try:
        while not file.exists():
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"], processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_that_the_scheduler_is_gone_or_hangs_ends_the_run_with_what_to_do(
    bench, tmp_path, monkeypatch, how
):
    monkeypatch.setattr(executors, "_CONNECT_WAIT", 3)
    monkeypatch.setattr(workers, "ANSWER_WAIT", 3)
    with by_hand(tmp_path, 1) as (address, processes):
        queue = Tasks(list(bench.tasks), {2: lambda: processes[0].send_signal(how)})
        with pytest.raises(UserError, match=r"scheduler went away\n  next:  start it again"):
            driven(queue, address, [])


def test_a_worker_without_a_nanny_that_hangs_is_let_go_and_the_others_go_on(bench, tmp_path):
    (bench.folder / "hang").write_text("1-1")
    (bench.folder / "only_once").touch()
    said = []
    with by_hand(tmp_path, 2) as (address, _), Client(address) as client:
        client.wait_for_workers(2, timeout=30)
        queue = Tasks(list(bench.tasks))
        driven(queue, address, said, stall=2.0)
        assert len(client.scheduler_info()["workers"]) == 1
    assert sorted(queue.finished) == [task.part for task in bench.tasks] and bench.rows() == {}
    (line,) = said
    assert "the worker is let go: no nanny restarts it, so see to its process, and the part" in line


def test_a_nanny_that_cannot_start_its_worker_again_ends_the_run(bench, monkeypatch):
    """As when the disk is full, or the machine has no process left to give."""
    monkeypatch.setattr(guard, "GONE_WAIT", 2)
    (bench.folder / "hang").write_text("0-0 1-0 2-0")

    def kill():
        (bench.folder / "no_start").touch()
        os.kill(int((bench.folder / "hanging").read_text()), signal.SIGKILL)

    def when_it_hangs():
        if (bench.folder / "hanging").exists():
            kill()
        else:
            Timer(0.1, when_it_hangs).start()

    when_it_hangs()
    with pytest.raises(UserError, match="all workers are gone, and none could be started for 2 s"):
        bench.drive(stall=5.0, workers=1)


class Still:
    """A scheduler that shows the same workers each time."""

    def __init__(self, *views):
        self.rows = [tuple(vars(view).values()) for view in views]

    def run_on_scheduler(self, function, **_):
        return self.rows


def test_that_tasks_wait_is_said_with_what_the_workers_do(bench, monkeypatch):
    """Dask pauses a worker that is short of memory: it is well, and begins nothing."""
    now = [0.0]
    monkeypatch.setattr(guard, "monotonic", lambda: now[0])
    said = []
    client = Still(
        WorkerView("tcp://a:1", "0", "paused", 1.0, {}, ("k",)),
        WorkerView("tcp://b:1", "1", "running", 1.0, {}, ("theirs",)),
    )
    watching = Guard(client, None, said.append)
    for _ in range(3):
        now[0] += 40.0
        assert watching.look({"k": bench.tasks[0]}, dict) == []
    assert said == [
        "nothing runs, and parts wait (1): worker 0 (tcp://a:1) is paused by Dask, for want "
        "of memory (see --memory-limit of `dask worker`), worker 1 (tcp://b:1) works for "
        "somebody else"
    ]


def test_a_worker_whose_disk_is_full_stops_the_run_and_says_so(bench, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "/store")

    monkeypatch.setattr("pipeline.store.part_file.pq.ParquetWriter", full)
    with scheduler(1) as cluster, pytest.raises(UserError, match="No space left") as error:
        driven(Tasks(list(bench.tasks)), cluster.scheduler_address, [])
    assert "free space" in error.value.hint
