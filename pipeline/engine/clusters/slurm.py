"""Workers as jobs of SLURM, by dask-jobqueue: one job for each worker, with a GPU or without."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
from dask.distributed import SpecCluster
from dask_jobqueue.slurm import SLURMJob
from distributed.deploy.spec import ProcessInterface
from tornado.ioloop import PeriodicCallback

from pipeline.corpus.decoders import THREAD_VARIABLES
from pipeline.dag.cluster import DEVICE_THREADS, Slurm
from pipeline.engine.clusters import check_sbatch, settings
from pipeline.errors import UserError
from pipeline.shipped import importable

_RESEND = 60_000  # milliseconds between two looks whether jobs ended that have to be sent again


class Job(SLURMJob):
    """A job with one worker. Options that are None are those of the user's jobqueue.yaml."""

    async def close(self) -> None:
        """Cancels the job, and says so to the cluster, which dask-jobqueue leaves out."""
        await super().close()
        await ProcessInterface.close(self)


def job_options(cluster: Slurm, on_gpu: bool, security: Any) -> dict[str, dict[str, Any]]:
    """What each `Job` is made from, by worker name.

    `on_gpu`: whether a node of the run may use a GPU; without, no job asks for one.
    """
    gpu_workers = cluster.gpu_workers if on_gpu else 0
    jobs = {f"gpu-{number}": _gpu_job(cluster) for number in range(gpu_workers)}
    cpu_workers = cluster.cpu_workers or (0 if gpu_workers else 1)
    resources = {"CPU": 1} if gpu_workers else {}
    jobs |= {f"cpu-{number}": _cpu_job(cluster, resources) for number in range(cpu_workers)}
    return {name: {**_common(cluster, security), **own} for name, own in jobs.items()}


def _common(cluster: Slurm, security: Any) -> dict[str, Any]:
    return {
        "job_name": "item",
        "processes": 1,
        "account": cluster.account,
        "walltime": cluster.walltime,
        "python": cluster.python,
        "interface": cluster.interface,
        "protocol": "tls://",
        "security": security,
        "log_directory": str(Path(cluster.folder) / "item-logs"),
        "death_timeout": 300,  # seconds: this process may be busy, a network slow
    }


def _gpu_job(cluster: Slurm) -> dict[str, Any]:
    environment = {
        "ITEM_DECODERS": str(cluster.gpu_cores),
        **settings.variables(settings.CHILDREN),
        **dict.fromkeys(THREAD_VARIABLES, str(max(1, cluster.gpu_cores // 4))),
    }
    return {
        "queue": cluster.gpu_queue or cluster.queue,
        "cores": DEVICE_THREADS,  # threads of the worker
        "job_cpu": cluster.gpu_cores,
        "memory": cluster.gpu_memory,
        "job_extra_directives": [f"--gres={cluster.gres}", *cluster.directives],
        "job_script_prologue": _prologue(cluster, environment),
        "worker_extra_args": _arguments({"GPU": DEVICE_THREADS}),
    }


def _cpu_job(cluster: Slurm, resources: dict[str, int]) -> dict[str, Any]:
    environment = {
        "CUDA_VISIBLE_DEVICES": "",
        "ITEM_DECODERS": "0",  # threads decode
        **dict.fromkeys(THREAD_VARIABLES, str(cluster.cpu_cores)),
    }
    return {
        "queue": cluster.queue,
        "cores": 1,
        "job_cpu": cluster.cpu_cores,
        "memory": cluster.cpu_memory,
        "job_extra_directives": list(cluster.directives),
        "job_script_prologue": _prologue(cluster, environment),
        "worker_extra_args": _arguments(resources),
    }


def _prologue(cluster: Slurm, environment: dict[str, str]) -> list[str]:
    exported = {
        **environment,
        **importable(),
        **settings.MEMORY_AND_THREADS,
        **settings.variables(settings.DASK),
    }
    return [*(f'export {name}="{value}"' for name, value in exported.items()), *cluster.prologue]


def _arguments(resources: dict[str, int]) -> list[str]:
    """Of `dask worker`; SLURM itself ends a job that takes too much memory."""
    offered = [f"{name}={count}" for name, count in resources.items()]
    return [
        *("--memory-limit", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
        *(("--resources", " ".join(offered)) if offered else ()),
    ]


@contextmanager
def slurm_cluster(cluster: Slurm, on_gpu: bool, say: Callable[[str], None]) -> Iterator[Any]:
    """Sends the jobs and yields Dask's cluster at once; on the way out the jobs are cancelled.

    A job that ends while the run goes on (its walltime is over) is sent again.
    """
    check_sbatch()
    interface = cluster.interface or dask.config.get("jobqueue.slurm.interface")
    place = {"interface": interface} if interface else {}
    with (
        dask.config.set(settings.DASK),
        settings.keys_on_disk(Path(cluster.folder)) as security,
    ):
        options = job_options(cluster, on_gpu, security)
        workers = {name: {"cls": Job, "options": own} for name, own in options.items()}
        try:
            running = SpecCluster(
                workers,
                settings.scheduler(security, **place),
                security=security,
                silence_logs=logging.CRITICAL,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"SLURM took no job: {error}",
                hint="correct `cluster:` in the DAG; `sinfo` shows the partitions",
            ) from None
        on_gpu_jobs = sum(name.startswith("gpu") for name in options)
        say(
            f"sent {on_gpu_jobs} jobs with a GPU and {len(options) - on_gpu_jobs} without to "
            "SLURM: `squeue --me` shows them"
        )
        # scaling to the number that is wanted anyway makes what is missing
        again = PeriodicCallback(lambda: running.scale(len(options)), _RESEND)
        running.loop.add_callback(again.start)
        try:
            yield running
        finally:
            running.loop.add_callback(again.stop)
            with suppress(TimeoutError):
                running.close(timeout=30)
