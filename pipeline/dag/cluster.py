"""The DAG file's `cluster:` section: where tasks run when no `--scheduler` is given."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from pipeline.errors import nearest
from pipeline.spec import Parameters, TypedPath

DEVICE_THREADS = 2  # parts under way in a device worker: one on the device, one read or committed


def _or_auto(least: int) -> Callable[[Any], Any]:
    def check(given: Any) -> Any:
        if given == "auto" or (type(given) is int and given >= least):
            return given
        raise ValueError(f"expected auto, or a number of at least {least}")

    return check


def _absolute(folder: str, info: ValidationInfo) -> str:
    base = (info.context or {}).get("base", Path())
    return str((base / Path(folder).expanduser()).resolve())


def _quoted(given: Any) -> Any:
    if isinstance(given, int):  # YAML reads 12:00:00 as a number to the base of 60
        raise ValueError("write it in quotes, such as '12:00:00' or '2-00:00:00'")
    return given


AtLeastOne = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
OneOrAuto = Annotated[int | Literal["auto"], BeforeValidator(_or_auto(1))]
NoneOrAuto = Annotated[int | Literal["auto"], BeforeValidator(_or_auto(0))]
Word = Annotated[str, Field(pattern=r"^[^\s'\"\\$`;&|<>]+$")]  # goes into a shell's command line
Walltime = Annotated[Word, BeforeValidator(_quoted)]
Shared = Annotated[str, Field(validate_default=True), AfterValidator(_absolute), TypedPath()]


class Local(Parameters):
    """Worker processes on this machine.

    Where a node may use a GPU: one process for each of `gpus`, and `cpu_workers` beside them for
    nodes that use none. Else `workers` processes. `workers` counts all processes in either case.
    """

    kind: Literal["local"] = "local"
    workers: OneOrAuto = "auto"
    gpus: NoneOrAuto = "auto"  # how many of this machine's GPUs; 0: none
    cpu_workers: NoneOrAuto = "auto"  # half of the cores, as memory allows


class Slurm(Parameters):
    """Jobs of SLURM, one for each worker; this process is their scheduler and waits for them."""

    kind: Literal["slurm"]
    gpu_workers: NotNegative = 1  # jobs with one GPU each
    cpu_workers: NotNegative = 1  # jobs for nodes that use no GPU
    queue: Word | None = None  # the partition, `sbatch -p`; None: the site's default
    account: Word | None = None  # `sbatch -A`
    walltime: Walltime = "04:00:00"  # of each job; one that ends is sent again while there is work
    gres: Word = "gpu:1"  # what a GPU job asks for; `gpu:a100:1` for a type
    gpu_queue: Word | None = None  # a partition of its own for GPU jobs; None: as `queue`
    gpu_cores: AtLeastOne = 8  # cores of a GPU job: one decodes an image while others do, too
    gpu_memory: Word = "48GB"
    cpu_cores: AtLeastOne = 1  # cores of a CPU job; more help models that run on the CPU only
    cpu_memory: Word = "8GB"
    directives: tuple[str, ...] = ()  # more lines for `#SBATCH`, such as `--constraint=a100`
    prologue: tuple[str, ...] = ()  # shell lines before the worker starts, such as `module load`
    python: Word | None = None  # of the workers; None: this process's own, on a shared disk
    interface: Word | None = None  # network that all machines share, such as `ib0`
    folder: Shared = "~"  # on a disk that all machines see: keys and logs, in a folder of their own

    @model_validator(mode="after")
    def _some(self) -> "Slurm":
        if not self.gpu_workers + self.cpu_workers:
            raise ValueError("gpu_workers and cpu_workers are both 0")
        return self

    @property
    def workers(self) -> int:
        """The workers that an estimate is for."""
        return self.gpu_workers or self.cpu_workers


class Ssh(Parameters):
    """Workers on machines that are reached by ssh; this process is their scheduler."""

    kind: Literal["ssh"]
    hosts: Annotated[tuple[Word, ...], Field(min_length=1)]
    gpus: NotNegative = 1  # GPUs of each host, a worker process each; 0: none
    cpu_workers: NotNegative = 1  # of each host
    cores: AtLeastOne = 8  # of each host: what decoding beside the GPUs may use
    python: Word | None = None  # on the hosts; None: the same path as here
    interface: Word | None = None  # network that all machines share, such as `ib0`
    folder: Shared = "~"  # on a disk that all machines see: keys, in a folder of their own

    @model_validator(mode="after")
    def _some(self) -> "Ssh":
        if not self.gpus + self.cpu_workers:
            raise ValueError("gpus and cpu_workers are both 0")
        return self

    @property
    def workers(self) -> int:
        """The workers that an estimate is for."""
        return len(self.hosts) * (self.gpus or self.cpu_workers)


Cluster = Annotated[Local | Slurm | Ssh, Field(discriminator="kind")]
KINDS = {"local": Local, "slurm": Slurm, "ssh": Ssh}


def with_kind(given: Any) -> Any:
    """A `cluster:` section with its kind, `local` where it says none. ValueError: no such kind."""
    if not isinstance(given, dict):
        return given
    kind = given.get("kind", "local")
    if kind not in KINDS:
        raise ValueError(f"there is no kind '{kind}': {nearest(str(kind), KINDS)}")
    return {"kind": kind, **given}
