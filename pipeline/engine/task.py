"""One task: compute one part of one node, or of several, inside whatever process runs it."""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import models, pulse, tables
from pipeline.dag.graph import Node
from pipeline.engine import joint_pass, poison
from pipeline.engine.child import Patience
from pipeline.engine.health import device_fault
from pipeline.errors import UserError, worded
from pipeline.store.part_file import content
from pipeline.store.parts import FORMAT, Store
from pipeline.store.provenance import code
from pipeline.store.todo import inputs_of, is_current
from pipeline.version import __version__

_log = logging.getLogger(__name__)

Room = Callable[[Sequence[Node]], bool]  # whether an executor takes a task of these nodes now


def always(nodes: Sequence[Node]) -> bool:
    """A `Room` that is never full."""
    return True


def _software() -> str:
    """What driver and workers must have in common."""
    return f"item {__version__}, code {code()}, store format {FORMAT}"


@dataclass(frozen=True)
class Task:
    """(nodes, part) with all that a worker needs to find the inputs; a few hundred bytes.

    Several `nodes`, in topological order, are computed in a joint pass (`joint_pass`).
    `sources` maps the names of the nodes that they need, beside each other, to folders of the
    store. The listing has no input tables: its `files` (uri, path) travel with the task, and so do
    the rows of `images` that are made in a variant. `careful` runs the stages in child processes,
    because a worker has died or hung on this part; these may be silent for `stall` seconds (None:
    for ever), or less, by `forecast`: the seconds that all of the part should take. `attempt`
    counts from 1; `avoid` names the worker that the last one hung on. `run` names the run whose
    claims it is computed under (`pipeline.store.claims`), if any: when that is about to stop, what
    has not begun does not begin. `software` is that of the process that made the task: a worker
    with another computes nothing.
    """

    store: Path
    nodes: tuple[Node, ...]
    part: str
    sources: tuple[tuple[str, str], ...] = ()
    files: pa.Table | None = field(default=None, compare=False)
    careful: bool = False
    attempt: int = 1
    avoid: str = ""
    stall: float | None = None
    forecast: float | None = None
    run: str = ""
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
    _check_software(task)
    store = Store(task.store)
    if task.run and store.is_stopping(task.run):
        return Outcome()
    missing = _missing(store, task)
    if len(missing) > 1 and not task.careful and _jointly(store, task, missing):
        missing = []
    failures: dict[str, str] = {}
    lost: set[str] = set()  # what failed, and what waits for it
    for node in missing:
        if is_current(store, node, task.part, task.folders):
            continue
        if lost & set(node.inputs.values()):
            lost.add(node.name)
            continue
        try:
            _alone(store, task, node)
        except UserError:
            raise
        except Exception as error:  # a stage, or a library below it, may raise anything
            device_fault.pass_on(error)
            failures[node.name] = worded(error)
            lost.add(node.name)
    done = [node for node in task.nodes if node.name not in lost]
    receipts = tuple(receipt(store, node, task.part) for node in done)
    return Outcome(receipts, tuple(failures.items()))


def _check_software(task: Task) -> None:
    """UserError when this worker would write what other software than the driver's makes.

    Under the driver's fingerprints: nobody could tell the rows apart.
    """
    own = _software()
    other = [n.name for n in task.nodes if n.stage.version != n.recipe["version"]]
    if own != task.software or other:
        raise UserError(
            f"the worker on {socket.gethostname()} has {own}, and the run {task.software}"
            + (f"; their versions differ of the stages of {', '.join(other)}" if other else ""),
            hint="install the same item-pipeline on every worker, start them again, and run again",
        )


def _jointly(store: Store, task: Task, nodes: list[Node]) -> bool:
    """Computes several nodes in a joint pass. False when it failed: alone, each finds the cause."""
    loaded: dict[str, list[Any]] = {}

    def compute(node: Node, tables_in: Mapping[str, pa.Table]) -> pa.Table:
        pulse.node(node.name)
        return node.stage.run(tables_in, node.parameters, loaded[node.name])

    try:
        for node in nodes:
            pulse.node(node.name, loading=True)
            loaded[node.name] = _models(node)
        pulse.node(nodes[0].name)
        began, started = datetime.now(UTC), perf_counter()
        names = joint_pass.outside(nodes)
        folders = task.folders
        marked = {name: store.read_marked(folders[name], task.part) for name in names}
        inputs = {name: table for name, (table, _) in marked.items()}
        commits = {name: commit for name, (_, commit) in marked.items()}
        read = perf_counter() - started
        results = joint_pass.run(nodes, inputs, compute)
        known = inputs | {name: table for name, (table, _) in results.items()}
        for number, node in enumerate(nodes):
            given = {input_: known[name] for input_, name in node.inputs.items()}
            table, seconds = results[node.name]
            took = (read if number == 0 else 0.0, seconds)  # reading is counted once
            used = _used(loaded[node.name]) | {"run": task.run} | _made_from(node, commits)
            _commit(store, task.part, node, given, table, began, took, used)
            commits[node.name] = content(table)
    except UserError:
        raise
    except Exception as error:  # it comes again where single images can be told apart
        device_fault.pass_on(error)
        _log.warning("%s: node by node, since together: %s", task.part, error)
        return False
    return True


def _missing(store: Store, task: Task) -> list[Node]:
    """The nodes that lack the part, or have it from other inputs, or from such as are missing."""
    folders, missing = task.folders, dict[str, Node]()
    for node in task.nodes:
        above = missing.keys() & set(node.inputs.values())
        if above or not is_current(store, node, task.part, folders):
            missing[node.name] = node
    return list(missing.values())


def _made_from(node: Node, commits: Mapping[str, str]) -> dict[str, str]:
    """What a part's footer says of its inputs; `commits` by the names of nodes."""
    return {"inputs": dumps({i: commits[name] for i, name in inputs_of(node).items()})}


def _alone(store: Store, task: Task, node: Node) -> None:
    started = perf_counter()
    inputs, commits = {"files": task.files}, dict[str, str]()
    if task.files is None:
        folders = task.folders
        names = node.inputs.items()
        marked = {(i, name): store.read_marked(folders[name], task.part) for i, name in names}
        inputs = {input_: table for (input_, _), (table, _) in marked.items()}
        commits = {name: commit for (_, name), (_, commit) in marked.items()}
    read = perf_counter() - started
    pulse.node(node.name, loading=True)
    loaded = _models(node, load=not task.careful)
    pulse.node(node.name)
    began, started = datetime.now(UTC), perf_counter()
    if task.careful:
        patience = Patience(task.stall, task.forecast)
        table = poison.in_child(node.stage, node.parameters, inputs, patience)
    else:
        table = poison.in_process(node.stage, node.parameters, inputs, loaded)
    took = (read, perf_counter() - started)
    used = _used(loaded) | {"run": task.run}
    if task.files is None:
        used |= _made_from(node, commits)
    _commit(store, task.part, node, inputs, table, began, took, used)


def _commit(
    store: Store,
    part: str,
    node: Node,
    inputs: Mapping[str, pa.Table],
    table: pa.Table,
    started: datetime,
    seconds: tuple[float, float],
    used: Mapping[str, str],
) -> None:
    """Checks and writes a part; `seconds` of reading and computing, `used`: by whom and on what."""
    tables.check(node.stage.output, table)
    rows_in, failed = _reconcile(node, inputs, table)
    facts = {
        "node": node.name,
        "rows_in": rows_in,
        "rows_ok": rows_in - failed,
        "rows_failed": failed,
        "seconds_read": round(seconds[0], 4),
        "seconds_infer": round(seconds[1], 4),
        **used,
        "started": started.isoformat(timespec="milliseconds"),
        "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "host": socket.gethostname(),
        "version": __version__,
    }
    store.write(node.folder, part, table, facts)


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


def _models(node: Node, load: bool = True) -> list[Any]:
    """The node's models, loaded. UserError when the run was planned with others."""
    specs = node.stage.models(node.parameters)
    if [spec.identity() for spec in specs] != node.recipe["models"]:
        raise UserError(
            f"the model of '{node.name}' is not the one that the run was planned with",
            hint="its files changed, or this worker sees others; run again",
        )
    return [models.get(spec) for spec in specs] if load else []


def _used(loaded: list[Any]) -> dict[str, str]:
    """Where and in which precision models ran, which `auto` leaves to the machine."""
    facts = {}
    for fact in ("device", "precision"):
        given = {getattr(model, f"{fact}_used", None) for model in loaded} - {None}
        facts[fact] = ", ".join(sorted(given))
    return facts


def _reconcile(node: Node, inputs: Mapping[str, pa.Table], table: pa.Table) -> tuple[int, int]:
    """(rows in, rows failed) by the stage's key; RuntimeError when a row was lost or invented."""
    key = node.stage.key
    out = pc.unique(table[key])
    failed = len(pc.unique(table.filter(pc.is_valid(table["error"]))[key]))
    if key == "text_id":
        return len(out), failed
    source = next(iter(inputs.values()))
    expected = pc.unique(source[key])
    if set(out.to_pylist()) != set(expected.to_pylist()):
        raise RuntimeError(
            f"{node.name}: {len(expected)} rows in, {len(out)} rows out: the stage lost some"
        )
    return len(expected), failed
