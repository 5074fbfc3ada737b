"""One task: compute one part of one node, or of several, inside whatever process runs it."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import pulse, tables
from pipeline.corpus.limits import Limits
from pipeline.dag.graph import Node, source_of
from pipeline.engine import poison
from pipeline.engine.child import Patience
from pipeline.engine.health import device_fault
from pipeline.engine.work import Work, reconcile
from pipeline.errors import UserError, worded
from pipeline.plugins import offered
from pipeline.store.contents import Asked
from pipeline.store.parts import FORMAT, Store
from pipeline.store.provenance import code
from pipeline.store.rows import counts
from pipeline.version import __version__

Room = Callable[[Sequence[Node]], bool]  # whether an executor takes a task of these nodes now


def always(nodes: Sequence[Node]) -> bool:
    """A `Room` that is never full."""
    return True


def _software() -> str:
    """What driver and workers must have in common."""
    return f"item {__version__}, code {code()}, store format {FORMAT}"


@dataclass(frozen=True)
class Task:
    """(nodes, part) with all that a worker needs to find the inputs.

    Several `nodes`, in topological order, are computed in a joint pass (`joint_pass`).
    `sources` maps the names of the nodes that they need, beside each other, and `images`, to
    folders of the store. `asked` says which images of the part, and where each one lies. The
    listing has no input tables: its `files` travel with the task. Images are decoded within the
    `limits`. `careful` runs the stages in child processes, because a worker has died or hung on
    this part; these may be silent for `stall` seconds (None: for ever), or less, by `forecast`:
    what all of the part should take. `attempt` counts from 1; `avoid` names the worker that the
    last one hung on. `run` names the run whose claims it is computed under
    (`store.sharing.claims`), if any: when that is about to stop, what has not begun does not begin.
    `plugins`: their files, which are loaded first. `software` is that of the process that made the
    task: a worker with another computes nothing.
    """

    store: Path
    nodes: tuple[Node, ...]
    part: str
    sources: tuple[tuple[str, str], ...] = ()
    asked: Asked | None = field(default=None, compare=False)
    files: pa.Table | None = field(default=None, compare=False)
    limits: Limits = field(default_factory=Limits)
    careful: bool = False
    attempt: int = 1
    avoid: str = ""
    stall: float | None = None
    forecast: float | None = None
    run: str = ""
    plugins: tuple[str, ...] = field(default_factory=offered.places, compare=False)
    software: str = field(default_factory=_software, compare=False)

    @property
    def folders(self) -> dict[str, str]:
        """Where nodes' tables lie, by name: those of this task, and those that it needs."""
        return {**{node.name: node.folder for node in self.nodes}, **dict(self.sources)}


@dataclass(frozen=True)
class Receipt:
    """What travels back from a task: counts of images (or texts, or files), seconds, bytes."""

    node: str
    part: str
    rows_in: int
    rows_ok: int
    rows_failed: int
    seconds_read: float
    seconds_infer: float
    seconds_write: float
    size: int
    libraries: str = ""  # by which the part was made


@dataclass(frozen=True)
class Outcome:
    """A task's receipts, and for each node that could not be computed its name and why.

    Empty when the task did not begin, because its run is about to stop.
    """

    receipts: tuple[Receipt, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()


def execute(task: Task) -> Outcome:
    """Reads, computes and commits one part of each node; what is there already is left alone.

    A node that fails does not keep those from being committed that do not need it. Raises
    UserError for what the user can mend, DeviceFault when this process has lost its device.
    """
    offered.use(task.plugins)
    _check_software(task)
    store = Store(task.store)
    if task.run and store.is_stopping(task.run):
        return Outcome()
    if task.files is not None:
        return _list(store, task, task.files)
    work = Work(store, task)
    work.run()
    done = [node for node in task.nodes if node.name not in work.lost]
    receipts = tuple(receipt(store, node, task.part) for node in done)
    return Outcome(receipts, tuple(work.failures.items()))


def _list(store: Store, task: Task, files: pa.Table) -> Outcome:
    """Describes the files of a part of the listing."""
    (node,) = task.nodes
    pulse.node(node.name)
    began, started = datetime.now(UTC), perf_counter()
    try:
        if task.careful:
            patience = Patience(task.stall, task.forecast)
            table = poison.in_child(node.stage, node.parameters, {"files": files}, patience)
        else:
            table = poison.in_process(node.stage, node.parameters, {"files": files}, ())
        tables.check(node.stage.output, table)
        reconcile(node, pc.unique(files["uri"]), table)
    except UserError:
        raise
    except Exception as error:
        device_fault.pass_on(error)
        return Outcome((), ((node.name, worded(error)),))
    facts = {
        "node": node.name,
        **counts(node.stage.key, table),
        "seconds_read": 0,
        "seconds_infer": round(perf_counter() - started, 4),
        "started": began.isoformat(timespec="milliseconds"),
        "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "host": socket.gethostname(),
        "version": __version__,
    }
    store.write(node.folder, task.part, table, facts)
    return Outcome((receipt(store, node, task.part),))


def _check_software(task: Task) -> None:
    """UserError when this worker would write what other software than the driver's makes.

    Under the driver's fingerprints: nobody could tell the rows apart.
    """
    own = _software()
    other = [node.name for node in task.nodes if _differs(node)]
    if own != task.software or other:
        raise UserError(
            f"the worker on {socket.gethostname()} has {own}, and the run {task.software}"
            + (f"; the stages of {', '.join(other)} are not the same" if other else ""),
            hint="install the same item-pipeline on every worker, start them again, and run again"
            if own != task.software
            else "a plugin that was changed while the run went on? Run again",
        )


def _differs(node: Node) -> bool:
    """Whether this process has the stage, or a plugin, of another version or source."""
    source = source_of(node.stage, node.parameters)
    return node.stage.version != node.recipe["version"] or source != node.recipe.get("source", {})


def receipt(store: Store, node: Node, part: str) -> Receipt:
    """The receipt of a committed part, from its own metadata."""
    path = store.folder(node) / part
    facts = store.facts(path)
    return Receipt(
        node.name,
        part,
        int(facts["rows_in"]),
        int(facts["rows_ok"]),
        int(facts["rows_failed"]),
        float(facts["seconds_read"]),
        float(facts["seconds_infer"]),
        float(facts["seconds_write"]),
        path.stat().st_size,
        facts["libraries"],
    )
