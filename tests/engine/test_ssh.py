"""Workers by ssh: what is started on which host, and a run against an ssh server of our own."""

import asyncio
import os
import socket
import sys
import threading
import time

import asyncssh
import pytest
from dask.distributed import Client

from pipeline.dag.cluster import Ssh
from pipeline.engine.clusters import settings
from pipeline.engine.clusters.ssh import as_configuration, host_workers, ssh_cluster
from pipeline.errors import UserError


def test_each_host_has_a_worker_for_each_gpu_and_others_beside_them(tmp_path):
    cluster = Ssh(kind="ssh", hosts=("a", "b"), gpus=2, cpu_workers=1, cores=16, python="/v/python")
    found = host_workers(cluster, on_gpu=True)
    assert list(found) == ["a-gpu-0", "a-gpu-1", "a-cpu-0", "b-gpu-0", "b-gpu-1", "b-cpu-0"]
    one = found["b-gpu-1"]
    assert (one["address"], one["remote_python"]) == ("b", "/v/python -P")
    assert (one["kwargs"]["nthreads"], one["kwargs"]["resources"]) == (2, {"GPU": 2})
    environment = one["kwargs"]["env"]
    assert environment["CUDA_VISIBLE_DEVICES"] == "1" and environment["ITEM_DECODERS"] == "8"
    assert environment["OMP_NUM_THREADS"] == "2" and environment["MALLOC_ARENA_MAX"] == "1"
    assert environment["GOMP_SPINCOUNT"] == "1000"
    assert found["a-cpu-0"]["kwargs"]["env"]["CUDA_VISIBLE_DEVICES"] == ""
    assert found["a-cpu-0"]["kwargs"]["env"]["OMP_NUM_THREADS"] == "1"


def test_a_run_that_uses_no_gpu_starts_cpu_workers_alone():
    cluster = Ssh(kind="ssh", hosts=("a",), gpus=4, cpu_workers=0)
    (only,) = host_workers(cluster, on_gpu=False).values()
    assert only["kwargs"]["resources"] == {} and only["kwargs"]["nthreads"] == 1


def test_what_is_sent_along_names_the_keys_and_does_not_hold_them(tmp_path):
    with settings.keys_on_disk(tmp_path) as security:
        sent = as_configuration(security)
    assert sent["distributed.comm.require-encryption"] is True
    for name in ("ca-file", "worker.cert", "worker.key"):
        assert sent[f"distributed.comm.tls.{name}"].startswith(str(tmp_path))


class _Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True  # by key alone: see `authorized_client_keys`


_running: set[int] = set()


async def _process(process):
    """Runs what the client asks for, as sshd would."""
    child = await asyncio.create_subprocess_shell(
        process.command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    _running.add(child.pid)
    await process.redirect(stdout=child.stdout, stderr=child.stderr)
    waiting = [asyncio.ensure_future(child.wait()), asyncio.ensure_future(process.wait_closed())]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if child.returncode is None:
        os.killpg(child.pid, 15)
        await child.wait()
    process.exit(child.returncode)
    _running.remove(child.pid)


@pytest.fixture
def sshd(tmp_path, monkeypatch):
    """An ssh server for host `machine`, known to the user whose home is `tmp_path`."""
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / ".ssh"
    folder.mkdir(mode=0o700)
    user.write_private_key(folder / "id_ed25519")
    user.write_public_key(folder / "authorized")
    known = host.export_public_key().decode()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {known}")
    (folder / "config").write_text(
        f"Host machine\n  HostName 127.0.0.1\n  Port {port}\n  User someone\n"
        f"  IdentityFile {folder / 'id_ed25519'}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen():
        return await asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[host],
            server_factory=_Server,
            authorized_client_keys=str(folder / "authorized"),
            process_factory=_process,
        )

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    yield "machine"
    deadline = time.monotonic() + 15
    while _running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running  # closing the cluster ended its processes
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def test_workers_start_on_a_host_work_and_end(sshd, tmp_path):
    cluster = Ssh(
        kind="ssh",
        hosts=(sshd,),
        cores=4,
        python=sys.executable,
        interface="lo",
        folder=str(tmp_path),
    )
    with ssh_cluster(cluster, on_gpu=True) as running, Client(running) as client:
        client.wait_for_workers(2, timeout=40)
        workers = client.scheduler_info()["workers"]
        offered = {worker["name"]: worker["resources"] for worker in workers.values()}
        assert offered == {"machine-gpu-0": {"GPU": 2}, "machine-cpu-0": {"CPU": 1}}
        assert all(address.startswith("tls://") for address in workers)
        told = client.submit(os.getenv, "ITEM_DECODERS", resources={"GPU": 1})
        assert told.result(timeout=20) == "4"


def test_a_host_that_cannot_be_reached_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host away\n  HostName 127.0.0.1\n  Port 9\n")
    cluster = Ssh(kind="ssh", hosts=("away",), folder=str(tmp_path), interface="lo")
    with (
        pytest.raises(UserError, match="the workers on away did not start") as error,
        ssh_cluster(cluster, on_gpu=False),
    ):
        pass
    assert "ssh away python -m pipeline doctor" in error.value.hint
