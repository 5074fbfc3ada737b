"""Jobs of SLURM: the scripts that would be submitted, and a run on a SLURM that is two scripts."""

import os
import signal
import sys
from pathlib import Path

import dask
import pytest
from dask.distributed import Client, Security

from pipeline.dag.cluster import Slurm
from pipeline.engine import clusters
from pipeline.engine.clusters import settings, slurm
from pipeline.engine.clusters.slurm import Job, job_options, slurm_cluster
from pipeline.errors import UserError

SETTINGS = {
    "kind": "slurm",
    "gpu_workers": 2,
    "cpu_workers": 1,
    "queue": "batch",
    "gpu_queue": "a100",
    "account": "item",
    "walltime": "12:00:00",
    "gres": "gpu:a100:1",
    "gpu_cores": 16,
    "directives": ["--exclude=node7"],
    "prologue": ["module load cuda"],
    "python": "/shared/venv/bin/python",
    "interface": "lo",
}


def script(options: dict) -> list[str]:
    return Job("tls://10.0.0.1:8786", name="w", **options).job_script().splitlines()


@pytest.fixture
def jobs(tmp_path):
    def make(on_gpu=True, **changes):
        cluster = Slurm.model_validate(
            SETTINGS | {"folder": str(tmp_path)} | changes, context={"base": tmp_path}
        )
        keys = {"tls_ca_file": "/k/c", "tls_worker_cert": "/k/c", "tls_worker_key": "/k/k"}
        return job_options(cluster, on_gpu, Security(require_encryption=True, **keys))

    return make


def test_a_gpu_job_asks_for_one_gpu_and_offers_it_to_two_parts_at_a_time(jobs, tmp_path):
    options = jobs()
    assert list(options) == ["gpu-0", "gpu-1", "cpu-0"]
    lines = script(options["gpu-0"])
    assert lines[0] == "#!/usr/bin/env bash"
    assert [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")] == [
        "-J item",
        f"-e {tmp_path}/item-logs/item-%J.err",
        f"-o {tmp_path}/item-logs/item-%J.out",
        "-p a100",
        "-A item",
        "-n 1",
        "--cpus-per-task=16",
        "--mem=45G",  # 48 GB, in SLURM's GiB
        "-t 12:00:00",
        "--gres=gpu:a100:1",
        "--exclude=node7",
    ]
    assert 'export PYTHONSAFEPATH="1"' in lines  # not a `pipeline` of the folder of the jobs
    assert 'export ITEM_DECODERS="16"' in lines and 'export OMP_NUM_THREADS="4"' in lines
    assert 'export DASK_DISTRIBUTED__WORKER__DAEMON="False"' in lines  # decoders are children
    assert 'export DASK_DISTRIBUTED__WORKER__HTTP__ROUTES="[]"' in lines
    assert not any("CUDA_VISIBLE_DEVICES" in line for line in lines)  # SLURM sets it
    assert lines.index("module load cuda") < len(lines) - 1
    command = lines[-1]
    assert command.startswith(
        "/shared/venv/bin/python -m distributed.cli.dask_worker tls://10.0.0.1:8786 --name w "
        "--nthreads 2 "
    )
    for words in (
        "--memory-limit 0 --no-dashboard",
        "--resources GPU=2",
        "--interface lo",
        "--protocol tls://",
        "--tls-ca-file /k/c --tls-cert /k/c --tls-key /k/k",
    ):
        assert words in command


def test_a_cpu_job_asks_for_no_gpu_and_sees_none(jobs):
    lines = script(jobs()["cpu-0"])
    assert not any("gres" in line for line in lines)
    assert "#SBATCH -p batch" in lines and "#SBATCH --cpus-per-task=1" in lines
    assert 'export ITEM_DECODERS="0"' in lines
    assert 'export CUDA_VISIBLE_DEVICES=""' in lines and 'export OMP_NUM_THREADS="1"' in lines
    assert "--nthreads 1 " in lines[-1] and "--resources CPU=1" in lines[-1]


def test_a_run_that_uses_no_gpu_asks_for_none(jobs):
    assert list(jobs(on_gpu=False)) == ["cpu-0"]
    assert "--resources" not in script(jobs(on_gpu=False)["cpu-0"])[-1]
    assert list(jobs(on_gpu=False, cpu_workers=0)) == ["cpu-0"]  # somebody has to do it
    assert list(jobs(cpu_workers=0)) == ["gpu-0", "gpu-1"]


def test_keys_are_files_that_only_their_owner_can_enter_and_are_gone_afterwards(tmp_path):
    with settings.keys_on_disk(tmp_path / "new") as security:
        (folder,) = (tmp_path / "new").iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert Path(security.tls_worker_key).read_text().startswith("-----BEGIN PRIVATE KEY")
        assert security.require_encryption and Path(security.tls_ca_file).parent == folder
    assert list((tmp_path / "new").iterdir()) == []


def test_dasks_settings_are_read_back_from_a_jobs_environment():
    from dask.config import collect_env

    read = collect_env(settings.variables(settings.DASK))
    assert read["distributed"]["worker"]["http"]["routes"] == []
    assert read["distributed"]["worker"]["profile"]["enabled"] is False
    assert read["distributed"]["comm"]["timeouts"]["connect"] == "30s"


def test_without_the_extra_or_sbatch_it_is_said_what_to_do(tmp_path, monkeypatch):
    cluster = Slurm(kind="slurm", folder=str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no sbatch"), slurm_cluster(cluster, True, print):
        pass
    monkeypatch.setattr(clusters, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs dask-jobqueue, which is not installed") as error:
        clusters.check_extra(cluster)
    assert error.value.hint == "pip install 'item-pipeline[slurm]'"
    with pytest.raises(UserError, match="--workers is for a cluster of this machine"):
        monkeypatch.undo()
        with clusters.started(cluster, [], 2, print):
            pass


SBATCH = """#!/bin/sh
cp "$1" {folder}/$$.sh
setsid /bin/sh {folder}/$$.sh >/dev/null 2>&1 &
echo $! >> {log}
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -TERM -"$1" && echo "cancelled $1" >> {log}
"""


def test_jobs_are_sent_again_when_they_end_and_cancelled_in_the_end(tmp_path, monkeypatch):
    log = tmp_path / "log"
    (tmp_path / "bin").mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        path = tmp_path / "bin" / name
        path.write_text(text.format(log=log, folder=tmp_path))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    cluster = Slurm(
        kind="slurm", gpu_workers=1, folder=str(tmp_path), interface="lo", python=sys.executable
    )
    said = []
    monkeypatch.setattr(slurm, "_RESEND", 500)
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "500ms"}),
        slurm_cluster(cluster, True, said.append) as running,
        Client(running) as client,
    ):
        client.wait_for_workers(2, timeout=40)
        workers = client.scheduler_info()["workers"]
        offered = {worker["name"]: worker["resources"] for worker in workers.values()}
        assert offered == {"gpu-0": {"GPU": 2}, "cpu-0": {"CPU": 1}}
        assert all(address.startswith("tls://") for address in workers)
        told = client.submit(os.getenv, "ITEM_DECODERS", resources={"GPU": 1})
        assert told.result(timeout=20) == "8"
        hidden = client.submit(os.getenv, "CUDA_VISIBLE_DEVICES", resources={"CPU": 1})
        assert hidden.result(timeout=20) == ""
        first = log.read_text().split()
        for job in first:  # their walltime is over
            os.killpg(int(job), signal.SIGTERM)
        again = client.submit(os.getenv, "ITEM_DECODERS", resources={"GPU": 1}, pure=False)
        assert again.result(timeout=40) == "8"
    assert said == ["sent 1 jobs with a GPU and 1 without to SLURM: `squeue --me` shows them"]
    lines = log.read_text().split("\n")
    sent = [line for line in lines if line.isdigit()]
    assert len(sent) == 4 and sent[:2] == first
    assert {f"cancelled {job}" for job in sent[2:]} <= set(lines)
