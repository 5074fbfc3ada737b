"""This machine and what nodes ask of one: cores, memory, GPUs, and how many workers they allow."""

import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.dag import Node
from pipeline.models import footprint

_BARE_WORKER = 1_500_000_000  # bytes: libraries, decoded images, the part at hand; measured
_MEMORY_SHARE = 0.9  # of the machine's memory that workers may fill

# where libraries read how many threads they may use
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers(nodes: Sequence[Node]) -> int:
    """One for each core that memory allows, or a single one where `nodes` may use a GPU here."""
    if gpu_here() and any(device != "cpu" for node in nodes for device in _devices(node)):
        return 1
    from distributed.system import MEMORY_LIMIT  # knows containers' limits

    return max(1, min(cores(), int(MEMORY_LIMIT * _MEMORY_SHARE / memory_of_worker(nodes))))


def memory_of_worker(nodes: Sequence[Node]) -> int:
    """Bytes that a worker will have taken when all models of `nodes` are loaded, roughly.

    Models that are not on this machine yet count as nothing.
    """
    specs = {spec for node in nodes for spec in node.stage.models(node.parameters)}
    return _BARE_WORKER + 2 * sum(footprint.weights(spec) for spec in specs)


def why_fewer(workers: int, nodes: Sequence[Node]) -> str:
    each = f"each takes about {memory_of_worker(nodes) / 1e9:.1f} GB of memory"
    why = "it may use the GPU" if workers == 1 and gpu_here() else each
    return f"{workers} of {cores()} possible workers: {why} (--workers N for another number)"


def gpu_here() -> bool:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path("/dev").glob("nvidia[0-9]*"))


def needs_gpu(node: Node) -> bool:
    """Whether a model of the node is to run on `cuda`."""
    return any(device.startswith("cuda") for device in _devices(node))


def _devices(node: Node) -> list[str]:
    specs = node.stage.models(node.parameters)
    return [str(spec.device) for spec in specs if hasattr(spec, "device")]
