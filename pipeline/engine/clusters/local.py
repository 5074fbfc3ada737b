"""A cluster of worker processes on this machine, for the time of one run."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from pipeline.corpus.decoders import THREAD_VARIABLES
from pipeline.dag.cluster import DEVICE_THREADS
from pipeline.engine.clusters import settings
from pipeline.engine.machine import Workers, cores, gpus
from pipeline.shipped import environment

_ALL = ["pipeline.engine.clusters.steady"]  # modules that Dask loads into each worker


def device_environment(gpu: str, cores: int, gpus: int) -> dict[str, str]:
    """The environment of the process that owns `gpu`, on a machine of `cores` and `gpus`.

    Images are decoded in ITEM_DECODERS processes beside it, which have its share of the cores. What
    is left to its own threads is little: boxes, texts, tables.
    """
    share = max(1, cores // gpus)
    threads = str(max(1, share // 4))
    return {
        "CUDA_VISIBLE_DEVICES": gpu,
        "ITEM_DECODERS": str(share),
        **dict.fromkeys(THREAD_VARIABLES, threads),
    }


def worker_options(workers: Workers, cores: int, hide: bool) -> dict[str, dict[str, Any]]:
    """What is special about each worker, by its name: threads, Dask's resources, environment.

    A task asks for `GPU: 1` or for `CPU: 1`, and so runs in the right process. `hide`: whether the
    machine has GPUs, of which CPU workers must see none.
    """
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if hide or workers.gpus else {}
    if workers.gpus:
        hidden["ITEM_DECODERS"] = "0"  # beside the device workers' own: no more of them
    options: dict[str, dict[str, Any]] = {}
    for number, gpu in enumerate(workers.gpus):
        options[f"gpu-{number}"] = {
            "nthreads": DEVICE_THREADS,
            "resources": {"GPU": DEVICE_THREADS},
            "env": device_environment(gpu, cores, len(workers.gpus)),
            "preload": [*_ALL, "pipeline.engine.clusters.early"],
        }
    for number in range(workers.cpu):
        resources = {"CPU": 1} if workers.gpus else {}
        options[f"cpu-{number}"] = {"nthreads": 1, "resources": resources, "env": hidden}
    return options


@contextmanager
def local_cluster(workers: Workers) -> Iterator[Any]:
    """The cluster, started; on the way out it is closed.

    dask-cuda's LocalCUDACluster does the same for GPUs, but has no CPU workers beside them, and
    brings NVIDIA's libraries of RAPIDS along.
    """
    import dask
    from dask.distributed import Nanny, Security, SpecCluster

    security = Security.temporary()
    common = {
        "host": "127.0.0.1",
        "protocol": "tls://",
        "security": security,
        "memory_limit": 0,  # an even share each would kill workers that fit in together
        "silence_logs": logging.CRITICAL,
        **settings.NO_PAGES,
    }
    options = worker_options(workers, cores(), bool(gpus()))
    threads = "1" if workers.gpus else str(max(1, cores() // workers.cpu))
    variables = {**dict.fromkeys(THREAD_VARIABLES, threads), **settings.MEMORY_AND_THREADS}
    configuration = {**settings.DASK, "distributed.nanny.pre-spawn-environ": variables}
    configuration["distributed.worker.preload"] = _ALL
    if workers.gpus:
        configuration |= settings.CHILDREN
    # Dask's nannies set in this process, for good, what their workers are to begin with
    with environment(variables), dask.config.set(configuration):
        with _interrupts_held():
            cluster = SpecCluster(
                {n: {"cls": Nanny, "options": common | own} for n, own in options.items()},
                settings.scheduler(security, host="127.0.0.1"),
                security=security,
                silence_logs=logging.CRITICAL,
            )
        try:
            yield cluster
        finally:
            with suppress(TimeoutError):
                cluster.close(timeout=5)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C and SIGUSR1 back; threads and processes started meanwhile never get one.

    A terminal, and a batch system, sends them to workers too. Only this process is to act on them:
    it closes its workers. SIGTERM is left to `steady`, since libraries end their children by it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    resource_tracker.ensure_running()  # when it starts later, it lets Ctrl-C through again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
