"""The cluster on this machine: which process sees what, who runs what, and who is let in."""

import json
import os
import subprocess
import sys
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import cloudpickle
import psutil
import pytest
from dask.distributed import Client

from pipeline.corpus.decoders import THREAD_VARIABLES
from pipeline.dag.graph import load
from pipeline.engine import executors, machine
from pipeline.engine.clusters import local
from pipeline.engine.clusters.local import local_cluster, worker_options
from pipeline.engine.machine import Workers
from pipeline.engine.task import Task

ONE = dict.fromkeys(THREAD_VARIABLES, "1")


def test_without_a_gpu_workers_are_all_alike():
    plain = {"nthreads": 1, "resources": {}, "env": {}}
    assert worker_options(Workers(2), 2, hide=False) == {"cpu-0": plain, "cpu-1": plain}
    hidden = {"CUDA_VISIBLE_DEVICES": ""}  # a machine whose GPUs are not to be used
    assert worker_options(Workers(1), 2, hide=True) == {"cpu-0": plain | {"env": hidden}}


def test_each_gpu_has_a_process_that_sees_it_alone_and_its_share_of_the_cores():
    options = worker_options(Workers(1, ("0", "GPU-8a")), 16, hide=True)
    two = dict.fromkeys(THREAD_VARIABLES, "2")
    preload = ["pipeline.engine.clusters.steady", "pipeline.engine.clusters.early"]
    device = {"nthreads": 2, "resources": {"GPU": 2}, "preload": preload}
    assert options == {
        "gpu-0": device | {"env": {"CUDA_VISIBLE_DEVICES": "0", "ITEM_DECODERS": "8", **two}},
        "gpu-1": device | {"env": {"CUDA_VISIBLE_DEVICES": "GPU-8a", "ITEM_DECODERS": "8", **two}},
        "cpu-0": {
            "nthreads": 1,
            "resources": {"CPU": 1},
            "env": {"CUDA_VISIBLE_DEVICES": "", "ITEM_DECODERS": "0"},
        },
    }
    few = worker_options(Workers(1, ("0", "1", "2", "3")), 2, hide=True)["gpu-3"]["env"]
    assert few == {"CUDA_VISIBLE_DEVICES": "3", "ITEM_DECODERS": "1", **ONE}


def where(task: Task) -> dict:
    """In place of `execute`: where a task ran, and when."""
    import multiprocessing
    import os
    import threading
    import time

    began = time.time()
    time.sleep(0.5)
    return {
        "node": task.nodes[-1].name,
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "decoders": os.environ.get("ITEM_DECODERS"),
        "threads": os.environ["OMP_NUM_THREADS"],
        "process": os.getpid(),
        "may have children": not multiprocessing.current_process().daemon,
        "thread": threading.get_ident(),
        "began": began,
        "ended": time.time(),
    }


def test_gpu_and_cpu_tasks_run_at_the_same_time_each_where_it_belongs(
    write_dag, fake_models, monkeypatch, tmp_path
):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see tests
    monkeypatch.setattr(machine, "gpus", lambda: ["0", "1"])
    monkeypatch.setattr(local, "gpus", lambda: ["0", "1"])
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.setattr(local, "cores", lambda: 4)
    monkeypatch.setattr(executors, "attended", where)
    for name in THREAD_VARIABLES:  # what is set already, Dask hands on to its workers
        monkeypatch.delenv(name, raising=False)
    nodes = load(str(write_dag(models=fake_models))).nodes
    said, found = [], []
    try:
        with executors.executor(list(nodes.values()), False, None, None, said.append) as running:
            for number in range(8):
                running.submit(Task(tmp_path, (nodes["image_embeddings"],), f"p{number}"))
            assert not running.has_room([nodes["captions"]])  # two for each of four threads
            assert running.has_room([nodes["objects"]])
            for number in range(4):
                running.submit(Task(tmp_path, (nodes["objects"],), f"p{number}"))
            while finished := running.wait():
                found.append(finished[1])
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert [line.split(" (")[0] for line in said] == [
        "2 workers, one for each GPU, and 2 for nodes that use none"
    ]
    device = [one for one in found if one["node"] == "image_embeddings"]
    rest = [one for one in found if one["node"] == "objects"]
    assert {(one["gpu"], one["decoders"], one["threads"]) for one in device} == {
        ("0", "2", "1"),
        ("1", "2", "1"),
    }
    assert {(one["gpu"], one["decoders"], one["threads"]) for one in rest} == {("", "0", "1")}
    assert all(one["may have children"] for one in device)
    assert len({one["process"] for one in device}) == 2
    assert len({(one["process"], one["thread"]) for one in device}) == 4
    assert len({one["process"] for one in rest}) == 2
    first, second = min(one["began"] for one in device), min(one["began"] for one in rest)
    assert second < max(one["ended"] for one in device)
    assert first < max(one["ended"] for one in rest)


INTRUDER = """
import asyncio, json, os, ssl, sys
from dask.distributed import Security
from distributed.core import rpc

addresses, uid, certificate = json.loads(sys.stdin.read())
mine = Security.temporary()
async def attempt(address, security, trusting=False):
    arguments = security.get_connection_args("client") if security else {}
    if trusting:  # whoever breaks in does not mind whom to talk to
        arguments["ssl_context"].verify_mode = ssl.CERT_NONE
    if security is None:
        address = address.replace("tls://", "tcp://")
    try:
        async with asyncio.timeout(5):
            async with rpc(address, connection_args=arguments, timeout=2) as remote:
                await remote.identity()
        return "in"
    except Exception as error:
        return type(error).__name__
async def main():
    owner = Security(require_encryption=True, **certificate)
    control = await attempt(addresses[0], owner)  # also: all that is needed is imported by now
    if uid:
        os.setgroups([]); os.setgid(uid); os.setuid(uid)
    for address in addresses:
        for how in ((None,), (mine,), (mine, True)):
            outcome = await attempt(address, *how)
            print(address, os.getuid(), outcome)
    print("control", control)
asyncio.run(main())
"""


def test_the_process_that_has_a_cluster_keeps_its_environment():
    before = dict(os.environ)
    with local_cluster(Workers(1)) as cluster, Client(cluster) as client:
        client.wait_for_workers(1, timeout=30)
        name = "OMP_NUM_THREADS"
        (seen,) = client.run(lambda: os.environ[name]).values()
        assert seen == str(len(os.sched_getaffinity(0)))
    assert os.environ == before


def test_another_user_who_knows_the_addresses_gets_into_no_scheduler_worker_or_nanny(tmp_path):
    uid = 65534 if os.getuid() == 0 else 0  # without root: as we are, without the certificate
    with local_cluster(Workers(1)) as cluster, Client(cluster) as client:
        client.wait_for_workers(1, timeout=30)
        ((address, worker),) = client.scheduler_info()["workers"].items()
        addresses = [cluster.scheduler_address, address, worker["nanny"]]
        assert all(one.startswith("tls://127.0.0.1:") for one in addresses)
        known = cluster.security
        certificate = {
            "tls_ca_file": known.tls_ca_file,
            "tls_client_cert": known.tls_client_cert,
            "tls_client_key": known.tls_client_key,
        }
        answer = subprocess.run(
            [sys.executable, "-c", INTRUDER],
            input=json.dumps([addresses, uid, certificate]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert client.submit(sum, [1, 2]).result(timeout=10) == 3  # and ours goes on
    assert answer.returncode == 0, answer.stderr
    *lines, control = answer.stdout.splitlines()
    assert control == "control in"
    assert len(lines) == 9
    for line in lines:
        _, who, outcome = line.split()
        assert outcome in ("CommClosedError", "FatalCommClosedError"), lines  # at the handshake
        assert not uid or who == str(uid)


def test_nothing_listens_beyond_this_machine_and_no_page_is_served():
    with local_cluster(Workers(1)) as cluster, Client(cluster) as client:
        client.wait_for_workers(1, timeout=30)
        here = psutil.Process()
        sockets = {
            socket.laddr
            for process in (here, *here.children(recursive=True))
            for socket in process.net_connections("inet")
            if socket.status == psutil.CONN_LISTEN
        }
        assert {socket.ip for socket in sockets} == {"127.0.0.1"}
        pages = 0
        for port in {socket.port for socket in sockets}:
            for path in ("", "status", "info/main/workers.html", "json/counts.json", "metrics"):
                try:
                    urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5)
                except HTTPError as error:
                    assert error.code == 404
                    pages += 1
                except OSError:  # TLS
                    continue
                else:
                    pytest.fail(f"{port} serves /{path}")
        assert pages == 10  # what Dask cannot be told not to open: of the scheduler, of the worker


DRIVER = """
import sys
from dask.distributed import Client
from pipeline.engine.clusters.local import local_cluster
from pipeline.engine.machine import Workers

if __name__ == "__main__":
    with local_cluster(Workers(0, ("0",))) as cluster, Client(cluster) as client:
        client.wait_for_workers(1, timeout=30)
        (process,) = client.run(lambda: __import__("os").getpid()).values()
        print(process, flush=True)
        if "wait" in sys.argv:
            input()
        raise ValueError("what ends a run")
"""


@pytest.mark.parametrize("how", ["killed", "an error"])
def test_device_workers_end_with_the_run_however_it_ends(tmp_path, how):
    (tmp_path / "driver.py").write_text(DRIVER)
    mode = "wait" if how == "killed" else "raise"
    driver = subprocess.Popen(
        [sys.executable, tmp_path / "driver.py", mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    worker = int(driver.stdout.readline())
    if how == "killed":
        driver.kill()
    _, stderr = driver.communicate(timeout=60)
    assert how == "killed" or "ValueError: what ends a run" in stderr
    deadline = time.monotonic() + 10
    while psutil.pid_exists(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(worker)
