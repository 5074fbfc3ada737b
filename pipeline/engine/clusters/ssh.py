"""Workers on machines that are reached by ssh, by the worker class of distributed's SSHCluster.

SSHCluster itself gives all workers the same options, and starts the scheduler on a machine of its
own; here GPU workers and CPU workers differ, and the run's process is the scheduler.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh
import dask
from dask.distributed import Security, SpecCluster
from distributed.deploy.ssh import Worker

from pipeline.corpus.decoders import THREAD_VARIABLES
from pipeline.dag.cluster import Ssh
from pipeline.engine.clusters import settings
from pipeline.engine.clusters.local import worker_options
from pipeline.engine.machine import Workers
from pipeline.errors import UserError


def host_workers(cluster: Ssh, on_gpu: bool) -> dict[str, dict[str, Any]]:
    """Arguments of distributed's ssh `Worker` for each worker of each host, by worker name.

    `on_gpu`: whether a node of the run may use a GPU; without, GPUs are left alone.
    """
    gpus = tuple(map(str, range(cluster.gpus if on_gpu else 0)))
    cpu_workers = cluster.cpu_workers or (0 if gpus else 1)
    single = dict.fromkeys(THREAD_VARIABLES, "1")
    options = worker_options(Workers(cpu_workers, gpus), cluster.cores, hide=True)
    found = {}
    for host in cluster.hosts:
        for name, own in options.items():
            interface = {"interface": cluster.interface} if cluster.interface else {}
            found[f"{host}-{name}"] = {
                "address": host,
                "connect_options": {},  # as ~/.ssh/config and ~/.ssh/known_hosts say
                # -P: not what lies in the home folder there
                "remote_python": f"{cluster.python or sys.executable} -P",
                "kwargs": {
                    **own,
                    **interface,
                    "env": {**single, **settings.MEMORY_AND_THREADS, **own["env"]},
                    "name": f"{host}-{name}",
                    "memory_limit": 0,
                    **settings.NO_PAGES,
                },
            }
    return found


def as_configuration(security: Security) -> dict[str, Any]:
    """`security`, whose keys are files, as Dask's settings: workers elsewhere read them there."""
    return {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": security.tls_ca_file,
        "distributed.comm.tls.worker.cert": security.tls_worker_cert,
        "distributed.comm.tls.worker.key": security.tls_worker_key,
    }


@contextmanager
def ssh_cluster(cluster: Ssh, on_gpu: bool) -> Iterator[Any]:
    """The cluster, started on all hosts; on the way out its processes are ended."""
    place = {"interface": cluster.interface} if cluster.interface else {}
    with settings.keys_on_disk(Path(cluster.folder)) as security:
        specs = {
            name: {"cls": Worker, "options": own}
            for name, own in host_workers(cluster, on_gpu).items()
        }
        # sent along, without the keys themselves
        inherited = {**settings.DASK, **settings.CHILDREN, **as_configuration(security)}
        with dask.config.set(inherited):
            try:
                running = SpecCluster(
                    specs,
                    settings.scheduler(security, **place),
                    security=security,
                    silence_logs=logging.CRITICAL,
                )
            except (asyncssh.Error, OSError) as error:
                raise _failed(cluster, f"{type(error).__name__}: {error}") from None
            except Exception as error:  # what distributed raises when a worker says nothing
                raise _failed(cluster, str(error)) from None
            try:
                yield running
            finally:
                with suppress(TimeoutError):
                    running.close(timeout=30)


def _failed(cluster: Ssh, why: str) -> UserError:
    python = cluster.python or "python"
    return UserError(
        f"the workers on {', '.join(cluster.hosts)} did not start: {why}",
        hint=f"each of them must answer `ssh {cluster.hosts[0]} {python} -m pipeline doctor` "
        "without a question",
    )
