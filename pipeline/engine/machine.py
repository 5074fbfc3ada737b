"""This machine and what nodes ask of one: cores, memory, GPUs, and how many workers they allow."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.dag.cluster import Local
from pipeline.dag.graph import Dag, Node
from pipeline.errors import UserError
from pipeline.models.weights import memory_size

_BARE_WORKER = 1_500_000_000  # bytes: libraries, decoded images, the part at hand; measured
_MEMORY_SHARE = 0.9  # of the machine's memory that workers may fill


@dataclass(frozen=True)
class Workers:
    """The worker processes of a run on this machine.

    `gpus` has for each device worker the GPU that it sees (a value of CUDA_VISIBLE_DEVICES), `cpu`
    workers use none.
    """

    cpu: int
    gpus: tuple[str, ...] = ()


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus() -> list[str]:
    """This machine's GPUs as CUDA_VISIBLE_DEVICES names them; found without loading CUDA.

    As CUDA does, a list of visible devices ends for us at the first one that is not there.
    """
    count = sum(1 for _ in Path("/dev").glob("nvidia[0-9]*"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number in range(count)]  # a container's numbers begin at 0, too
    found: list[str] = []
    for name in (word.strip() for word in visible.split(",")):
        if not count or not name or name.startswith("-") or (name.isdigit() and int(name) >= count):
            break
        found.append(name)
    return found


def uses_device(node: Node) -> bool:
    """Whether a model of the node runs on a GPU where there is one."""
    return any(device != "cpu" for device in _devices(node))


def on_gpu(nodes: Iterable[Node]) -> bool:
    """Whether a model of one of the nodes runs on a GPU that this process sees."""
    return any(map(uses_device, nodes)) and bool(gpus())


def needs_gpu(node: Node) -> bool:
    """Whether a model of the node is to run on `cuda`."""
    return any(device.startswith("cuda") for device in _devices(node))


def check_gpu_count(cluster: Local) -> int:
    """How many GPUs `cluster` has; UserError when it asks for more than are here."""
    here = len(gpus())
    wanted = here if cluster.gpus == "auto" else cluster.gpus
    if wanted > here:
        raise UserError(
            f"cluster.gpus is {wanted}, and this machine has {here}",
            hint="check nvidia-smi and CUDA_VISIBLE_DEVICES, or leave `gpus` out",
        )
    return wanted


def check_gpus(nodes: Sequence[Node], cluster: Local) -> None:
    """UserError when `cluster`, or a node, asks for a GPU that a worker here will not see."""
    using = [node for node in nodes if uses_device(node)]
    wanted = check_gpu_count(cluster) if using else 0
    for node in using:
        named = next((device for device in _devices(node) if device.startswith("cuda")), None)
        if named and not wanted:
            raise UserError(
                f"'{node.name}' asks for a GPU (device: {named}), and this run has none",
                hint="check nvidia-smi, CUDA_VISIBLE_DEVICES and `cluster: {gpus: …}`, or set "
                "`device: auto`",
            )
        if named and named not in ("cuda", "cuda:0"):
            raise UserError(
                f"'{node.name}' asks for {named}, and each worker sees one GPU alone, as cuda",
                hint="set `device: cuda`: all GPUs are used; CUDA_VISIBLE_DEVICES says which",
            )


def workers_here(nodes: Sequence[Node], cluster: Local, asked: int | None = None) -> Workers:
    """The workers of a run of `nodes` on this machine; `asked` is `--workers`.

    Without a GPU that a node may use: as many as asked, or one for each core that memory allows.
    Else one for each GPU and half as many as there are cores beside them, or as asked in all.
    """
    total = asked or (None if cluster.workers == "auto" else cluster.workers)
    here = gpus() if any(uses_device(node) for node in nodes) else []
    used = tuple(here if cluster.gpus == "auto" else here[: cluster.gpus])
    if not used:
        return Workers(total or _that_fit(cores(), 0, nodes))
    if total and cluster.gpus == "auto":
        used = used[:total]
    if cluster.cpu_workers != "auto":
        return Workers(cluster.cpu_workers, used)
    if total:
        return Workers(max(0, total - len(used)), used)
    with_models = [node for node in nodes if uses_device(node)]
    beside = [node for node in nodes if not uses_device(node)]
    taken = len(used) * memory_of_worker(with_models)
    return Workers(_that_fit(max(1, cores() // 2), taken, beside), used)


def default_workers(nodes: Sequence[Node]) -> int:
    """One for each core that memory allows, or for each GPU where `nodes` may use one here."""
    found = workers_here(nodes, Local())
    return len(found.gpus) or found.cpu


def planned_gpus(dag: Dag) -> int | None:
    """The GPUs, and so the device workers, that an estimate is for; None where there are none.

    A machine that is only planned on may lack what the DAG says of the one that will run it.
    """
    cluster = dag.cluster
    if not isinstance(cluster, Local) or not any(map(uses_device, dag.nodes.values())):
        return None
    return (len(gpus()) if cluster.gpus == "auto" else cluster.gpus) or None


def _that_fit(most: int, taken: int, nodes: Sequence[Node]) -> int:
    """As many workers for `nodes` as memory has room for beside `taken` bytes; at least one."""
    from distributed.system import MEMORY_LIMIT  # knows containers' limits

    room = MEMORY_LIMIT * _MEMORY_SHARE - taken
    return max(1, min(most, int(room / memory_of_worker(nodes))))


def memory_of_worker(nodes: Sequence[Node]) -> int:
    """Bytes that a worker will have taken when all models of `nodes` are loaded, roughly.

    Models that are not on this machine yet count as nothing.
    """
    specs = {spec for node in nodes for spec in node.stage.models(node.parameters)}
    return _BARE_WORKER + 2 * sum(memory_size.weights(spec) for spec in specs)


def about(workers: Workers, nodes: Sequence[Node]) -> str | None:
    """A line on workers that the user did not choose; None where they are one for each core."""
    if workers.gpus:
        count = len(workers.gpus)
        return (
            f"{count} {'worker' if count == 1 else 'workers'}, one for each GPU, and {workers.cpu} "
            "for nodes that use none (cluster: {gpus: N, cpu_workers: N} for other numbers)"
        )
    if workers.cpu >= cores():
        return None
    each = memory_of_worker(nodes) / 1e9
    return (
        f"{workers.cpu} of {cores()} possible workers: each takes about {each:.1f} GB of memory "
        "(--workers N for another number)"
    )


def _devices(node: Node) -> list[str]:
    specs = node.stage.models(node.parameters)
    return [str(spec.device) for spec in specs if hasattr(spec, "device")]
