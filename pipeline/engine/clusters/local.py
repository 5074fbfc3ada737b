"""A cluster of worker processes on this machine, for the time of one run."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from pipeline.engine.machine import THREAD_VARIABLES, cores

# glibc's malloc in workers. One heap for all threads, never given back and without mappings of
# their own for tensors: it stays as large as the largest part needs. By itself glibc gives each
# thread that decodes a heap, and these fill up with holes, part by part.
_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}


@contextmanager
def local_cluster(workers: int, gpu: bool) -> Iterator[Any]:
    import dask
    from dask.distributed import LocalCluster

    threads = str(max(1, cores() // workers))
    settings = {
        "distributed.scheduler.allowed-failures": 1,  # one retry; then the careful run
        "distributed.nanny.pre-spawn-environ": {
            **dict.fromkeys(THREAD_VARIABLES, threads),
            **_MALLOC,
        },
        "distributed.scheduler.worker-ttl": None,  # `health.guard` says who is silent, and acts
        "distributed.comm.timeouts.connect": "30s",
        # what only a dashboard shows, and costs the cores that models run on
        "distributed.worker.profile.enabled": False,  # looks at the stack a hundred times a second
        "distributed.admin.tick.interval": "500ms",  # instead of 20
        "distributed.admin.system-monitor.interval": "5s",  # instead of half a second
    }
    with dask.config.set(settings):
        with _interrupts_held():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",  # any free port: several runs may go on at once
                resources={"GPU": 1} if gpu else None,
                memory_limit=0,  # an even share each would kill workers that fit in together
                silence_logs=logging.CRITICAL,
            )
        try:
            yield cluster
        finally:
            with suppress(TimeoutError):
                cluster.close(timeout=5)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C back; threads and processes started meanwhile, and theirs, never get one.

    A terminal sends Ctrl-C to workers too. Only this process is to act on it: it closes them.
    """
    resource_tracker.ensure_running()  # when it starts later, it lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
