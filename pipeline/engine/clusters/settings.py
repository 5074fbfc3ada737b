"""What all clusters that a run starts have in common: Dask's settings, its scheduler, keys.

Whoever reaches a scheduler or a worker of Dask runs code as its owner. So all of them talk TLS and
ask for a certificate that only this run has; nothing else listens, Dask's web pages neither.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

DASK: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 1,  # one retry; then the careful run
    "distributed.scheduler.worker-ttl": None,  # `health.guard` says who is silent, and acts
    "distributed.comm.timeouts.connect": "30s",
    # no pages, pictures and metrics, which are not behind the certificate
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # what only a dashboard shows, and costs the cores that models run on
    "distributed.worker.profile.enabled": False,  # looks at the stack a hundred times a second
    "distributed.admin.tick.interval": "500ms",  # instead of 20
    "distributed.admin.system-monitor.interval": "5s",  # instead of half a second
}
# A daemonic process may have no children, and images are decoded in children of device workers.
# These end with their parent, however it ends: it is watched through a pipe.
CHILDREN = {"distributed.worker.daemon": False}
NO_PAGES = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}  # of schedulers, of workers

# glibc's malloc in workers. One heap for all threads, never given back and without mappings of
# their own for tensors: it stays as large as the largest part needs. By itself glibc gives each
# thread that decodes a heap, and these fill up with holes, part by part.
MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
# Threads of GNU's OpenMP (torch's) wait for each other awake, at the cost of all others that have
# work for the cores: of two processes of two threads on two cores, both took ten times as long as
# one alone. When they fall asleep 300 times as soon, one alone is as fast as before.
WAITING = {"GOMP_SPINCOUNT": "1000"}
MEMORY_AND_THREADS = {**MALLOC, **WAITING}


def scheduler(security: Any, **place: Any) -> dict[str, Any]:
    """A SpecCluster's `scheduler`, in this process; `place` is its `host`, or its `interface`."""
    from dask.distributed import Scheduler

    options = {"port": 0, "protocol": "tls://", "security": security, **NO_PAGES, **place}
    return {"cls": Scheduler, "options": options}


@contextmanager
def keys_on_disk(folder: Path) -> Iterator[Any]:
    """A Security whose key and certificate are files that workers on other machines can read.

    They lie in a new folder of `folder` that only its owner can enter, for the time of the run.
    """
    from dask.distributed import Security

    folder.mkdir(parents=True, exist_ok=True)
    made = Security.temporary()
    with TemporaryDirectory(prefix=".item-keys-", dir=folder) as name:  # mode 0700
        certificate, key = Path(name, "certificate.pem"), Path(name, "key.pem")
        certificate.write_text(made.tls_worker_cert)
        key.write_text(made.tls_worker_key)
        roles = ("client", "scheduler", "worker")
        files = {f"tls_{role}_cert": str(certificate) for role in roles}
        files |= {f"tls_{role}_key": str(key) for role in roles}
        yield Security(require_encryption=True, tls_ca_file=str(certificate), **files)


def variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings of Dask as the environment variables that it reads them from."""
    return {
        "DASK_" + key.upper().replace(".", "__").replace("-", "_"): str(value)
        for key, value in settings.items()
    }
