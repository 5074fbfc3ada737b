"""Proving what a DAG has in a store: every part is read whole, and held against the others.

Of each part: every byte, its place, the table's columns, the rows that it says it has, its ids
against those of `images`, its inputs, its vectors. What needs no model is computed again for a
sample of the images: `misalignment` from the cached vectors, and `features`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.corpus.variants import tag
from pipeline.dag.graph import Dag, Node
from pipeline.errors import UserError, many, worded
from pipeline.store import part_file
from pipeline.store.parts import Store, check_place, part_tag
from pipeline.store.todo import changed_inputs, inputs_of
from pipeline.store.upkeep.gone import gone

_SAMPLE = 64  # images of a part whose numbers are computed again
_UNIT = 2e-3  # how far from 1 the length of a unit vector may be: float16 in up to 2,048 components
_SAME = 1e-5  # how far a number may be from the one that is computed again
_KEYS = ("image_id", "text_id", "uri", "level", "object_no")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a part."""

    node: str
    path: Path
    why: str


Known = dict[str, tuple[pa.Table, dict[str, str]]]  # node -> rows and facts of one part


def verify(dag: Dag, store: Store) -> Iterator[tuple[Path, list[Fault]]]:
    """Reads every part that the DAG has; yields each with what is wrong with it, if anything."""
    for path in store.parts(dag.nodes["listing"]):
        yield path, _faults(dag.nodes["listing"], path, {})
    nodes = [dag.nodes["images"], *dag.computed]
    tags = {"", *(tag(name) for name in dag.corpus.splits_of)}
    names = {path.name for node in nodes for path in store.parts(node)}
    for name in sorted(name for name in names if part_tag(name) in tags):
        known: Known = {}
        for node in nodes:
            path = store.folder(node) / name
            if path.exists():
                yield path, _faults(node, path, known)


def missing(dag: Dag, store: Store) -> list[Fault]:
    """The parts that a run had left and that are gone."""
    return [
        Fault(node.name, store.folder(node) / name, "it is gone, and a run had left it")
        for node, name in gone(dag, store)
    ]


def _faults(node: Node, path: Path, known: Known) -> list[Fault]:
    """What is wrong with a part; one that can be read becomes `known`.

    A part that a run was bringing up to date when it was interrupted says nothing of its inputs.
    """
    try:
        facts = part_file.verify(path)
        check_place(path, facts)
        table, _ = part_file.read(path)
        tables.check(node.stage.output, table)
    except ValueError as error:  # part_file.Damaged is one
        found = [str(error)]
    else:
        known[node.name] = (table, facts)
        found = [*_counts(node, table, facts), *_vectors(table)]
        above = {i: known[name][1] for i, name in inputs_of(node).items() if name in known}
        now = {i: other["commit"] for i, other in above.items()}
        if facts.get("inputs") != "{}" and (changed := changed_inputs(facts, now)):
            names = ", ".join(node.inputs[input_] for input_ in changed)
            found.append(f"made from other rows than {names} has now")
        elif not found:
            found = [*_ids(node, table, known), *_again(node, table, known)]
    return [Fault(node.name, path, why) for why in found]


def _counts(node: Node, table: pa.Table, facts: Mapping[str, str]) -> Iterator[str]:
    keys = [name for name in _KEYS if name in table.column_names]
    unique = table.group_by(keys).aggregate([]).num_rows
    if unique != len(table):
        yield f"{many(len(table) - unique, 'row')} with the key of another"
    if facts["commit"] != part_file.content(tables.declared(table)):
        yield "its rows are not those of its commit"
    here = len(pc.unique(table[node.stage.key]))
    failed = len(pc.unique(table.filter(pc.is_valid(table["error"]))[node.stage.key]))
    said = tuple(int(facts[f"rows_{name}"]) for name in ("in", "failed"))
    if said != (here, failed):
        yield f"it says {said[0]:,} rows, {said[1]:,} failed, and has {here:,}, {failed:,} failed"


def _vectors(table: pa.Table) -> Iterator[str]:
    for field in table.schema:
        if not pa.types.is_fixed_size_list(field.type):
            continue
        vectors, valid = tables.matrix(table[field.name])
        lengths = np.linalg.norm(vectors[valid], axis=1)
        if not np.isfinite(lengths).all():
            yield f"{field.name} has components that are not finite"
        elif field.name == "embedding" and (np.abs(lengths - 1) > _UNIT).any():
            yield f"{field.name} has vectors that are not of unit length"


def _ids(node: Node, table: pa.Table, known: Known) -> Iterator[str]:
    if node.stage.key != "image_id" or "images" not in known:
        return
    own, members = pc.unique(table["image_id"]), known["images"][0]["image_id"]
    strange = pc.sum(pc.invert(pc.is_in(own, value_set=members))).as_py()
    if strange:
        yield f"{strange:,} images in it are not of its part"


def _again(node: Node, table: pa.Table, known: Known) -> Iterator[str]:
    """Computes a sample again, where that takes no model and all inputs are there."""
    given = set(node.inputs.values())
    computable = given and not node.recipe["models"] and not given & {"listing", "images"}
    if not computable or not given <= known.keys():
        return
    ids = pc.unique(table["image_id"])
    some = ids.take(pa.array(np.unique(np.linspace(0, len(ids) - 1, _SAMPLE).astype(np.int64))))
    inputs = {input_: _rows(known[name][0], some) for input_, name in node.inputs.items()}
    try:
        made_again = node.stage.run(inputs, node.parameters, ())
    except (ValueError, UserError) as error:  # inputs that do not belong together
        yield f"it cannot be computed again from its inputs: {worded(error)}"
        return
    now, then = (
        made.sort_by([(key, "ascending") for key in _KEYS if key in made.column_names])
        for made in (made_again, _rows(table, some))
    )
    differing = [name for name in now.column_names if not _equal(now[name], then[name])]
    if differing:
        yield f"computed again from its inputs, other values come out: {', '.join(differing)}"


def _rows(table: pa.Table, ids: pa.Array) -> pa.Table:
    if "image_id" not in table.column_names:
        return table
    return table.filter(pc.is_in(table["image_id"], value_set=ids))


def _equal(now: pa.ChunkedArray, then: pa.ChunkedArray) -> bool:
    if pa.types.is_fixed_size_list(now.type):
        pairs = [tables.matrix(column) for column in (now, then)]
        near = np.allclose(pairs[0][0], pairs[1][0], rtol=1e-3, atol=1e-3)  # a step of float16
        return bool(near and (pairs[0][1] == pairs[1][1]).all())
    if pa.types.is_floating(now.type):
        values = [column.to_numpy(zero_copy_only=False) for column in (now, then)]
        return np.allclose(*values, rtol=0, atol=_SAME, equal_nan=True)
    return now.equals(then)


def set_aside(store: Store, faults: list[Fault]) -> list[Path]:
    """Moves bad parts out of the way, so that the next run computes them; returns where they are.

    UserError while a run is computing parts of its node.
    """
    return [store.set_aside(path) for path in dict.fromkeys(fault.path for fault in faults)]
