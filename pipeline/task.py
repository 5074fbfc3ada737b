"""One task: compute one part of one node, inside whatever process runs it."""

import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import __version__, isolate, models, tables
from pipeline.dag import Node
from pipeline.errors import UserError
from pipeline.store import Store


@dataclass(frozen=True)
class Task:
    """A (node, part) with all that a worker needs to find its inputs; a few hundred bytes.

    `sources` maps input names to node folders of the store. The listing has no input tables: its
    `files` (uri, path) travel with the task. `careful` runs the stage in a child process, because
    a worker has died on this part.
    """

    store: Path
    node: Node
    part: str
    sources: tuple[tuple[str, str], ...] = ()
    files: pa.Table | None = field(default=None, compare=False)
    careful: bool = False


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


def execute(task: Task) -> Receipt:
    """Reads, computes and commits one part; returns at once when it is already there."""
    store = Store(task.store)
    node = task.node
    if store.has(node, task.part):
        return receipt(store, node, task.part)
    started = perf_counter()
    inputs = {name: store.read(folder, task.part) for name, folder in task.sources}
    if task.files is not None:
        inputs["files"] = task.files
    read = perf_counter()
    table = _compute(task, inputs)
    tables.check(node.stage.output, table)
    rows_in, failed = _reconcile(node, inputs, table)
    inferred = perf_counter()
    facts = {
        "node": node.name,
        "stage": node.stage.name,
        "fingerprint": node.fingerprint,
        "part": task.part,
        "rows_in": rows_in,
        "rows_ok": rows_in - failed,
        "rows_failed": failed,
        "seconds_read": round(read - started, 4),
        "seconds_infer": round(inferred - read, 4),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "version": __version__,
    }
    store.write(node.folder, task.part, table, facts)
    return receipt(store, node, task.part)


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
    )


def _compute(task: Task, inputs: dict[str, pa.Table]) -> pa.Table:
    stage, parameters = task.node.stage, task.node.parameters
    specs = stage.models(parameters)
    if [spec.identity() for spec in specs] != task.node.recipe["models"]:
        raise UserError(
            f"the model of '{task.node.name}' is not the one that the run was planned with",
            hint="its files changed, or this worker sees others; run again",
        )
    if task.careful:
        return isolate.in_child(stage, parameters, inputs)
    return isolate.in_process(stage, parameters, inputs, [models.get(spec) for spec in specs])


def _reconcile(node: Node, inputs: dict[str, pa.Table], table: pa.Table) -> tuple[int, int]:
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
