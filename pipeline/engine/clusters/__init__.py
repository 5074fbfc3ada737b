"""Clusters that a run starts for itself; `--scheduler` joins one that is running."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from pipeline.dag.cluster import DEVICE_THREADS, Cluster, Local
from pipeline.dag.graph import Node
from pipeline.engine import machine
from pipeline.engine.clusters.settings import CHILDREN, variables
from pipeline.engine.workforce import Guide
from pipeline.errors import UserError

_MODULES = {"slurm": "dask_jobqueue", "ssh": "asyncssh"}  # what each extra brings


@contextmanager
def started(
    cluster: Cluster, nodes: Sequence[Node], workers: int | None, say: Callable[[str], None]
) -> Iterator[Any]:
    """Dask's cluster object for `cluster`, closed on the way out, for a client to connect to.

    `workers` is `--workers`: of a local cluster alone. UserError where it cannot be started.
    """
    check_extra(cluster)
    if isinstance(cluster, Local):
        from pipeline.engine.clusters.local import local_cluster

        machine.check_gpus(nodes, cluster)
        found = machine.workers_here(nodes, cluster, workers)
        if (line := machine.about(found, nodes)) and not workers:
            say(line)
        with local_cluster(found) as running:
            yield running
        return
    if workers:
        raise UserError(
            f"--workers is for a cluster of this machine, and the DAG's is {cluster.kind}",
            hint="set its workers with --set cluster.cpu_workers=N, or run here with "
            "--set 'cluster={kind: local}'",
        )
    on_gpu = any(machine.uses_device(node) for node in nodes)
    if cluster.kind == "slurm":
        from pipeline.engine.clusters.slurm import slurm_cluster

        with slurm_cluster(cluster, on_gpu, say) as running:
            yield running
    else:
        from pipeline.engine.clusters.ssh import ssh_cluster

        with ssh_cluster(cluster, on_gpu) as running:
            yield running


def check_extra(cluster: Cluster) -> None:
    """UserError when the optional package that a kind of cluster needs is not installed."""
    module = _MODULES.get(cluster.kind)
    if module and find_spec(module) is None:
        raise UserError(
            f"a cluster of kind {cluster.kind} needs {module.replace('_', '-')}, which is not "
            "installed",
            hint=f"pip install 'item-pipeline[{cluster.kind}]'",
        )


def ready(cluster: Cluster) -> str:
    """Where a run's workers will be, in words; UserError when something for it is missing here."""
    check_extra(cluster)
    if isinstance(cluster, Local):
        machine.check_gpu_count(cluster)
        return "workers of this machine"
    if cluster.kind == "ssh":
        return f"workers on {', '.join(cluster.hosts)}, by ssh"
    check_sbatch()
    return f"jobs of SLURM: {cluster.gpu_workers} with a GPU, {cluster.cpu_workers} without"


def check_sbatch() -> None:
    """UserError where jobs cannot be sent to SLURM."""
    if shutil.which("sbatch") is None:
        raise UserError(
            "there is no sbatch on this machine, which a cluster of kind slurm needs",
            hint="run this on a login node, or here with --set 'cluster={kind: local}'",
        )


def guide(cluster: Cluster) -> Guide:
    """What to do when workers of a run's own cluster are missing."""
    phrase = {
        "local": "its process is being started again",
        "slurm": "`squeue --me` shows what its job waits for",
        "ssh": "run the same command again if its machine does not come back",
    }[cluster.kind]
    return Guide(dict.fromkeys((None, "GPU", "CPU"), phrase), patient=True)


def by_hand(scheduler: str) -> Guide:
    """What to start when workers of a scheduler that others run are missing."""
    gpu = f"--nthreads {DEVICE_THREADS} --resources GPU={DEVICE_THREADS}"
    children = " ".join(f"{k}={v}" for k, v in variables(CHILDREN).items())
    return Guide(
        {
            None: f"start one with `dask worker {scheduler} --nthreads 1`",
            "CPU": f"start one with `dask worker {scheduler} --nthreads 1 --resources CPU=1`",
            "GPU": f"start one with `{children} dask worker {scheduler} {gpu}`",
        }
    )
