"""What is to do: the rows that are asked for, less those that are there and current.

A part's footer names the commits of the parts that it was made from; a commit stands for the rows
of a part. Where these are what they were, and the part lacks nothing that is asked for, no row need
be looked at; but those of nodes that find images by something beside the content, a path or a
caption that came with them. What is computed anew with the same rows leaves everything that depends
on it as it is.
"""

from collections.abc import Mapping, Sequence
from json import loads

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dag.graph import Node
from pipeline.errors import UserError
from pipeline.store.contents import Asked
from pipeline.store.parts import Store, part_tag
from pipeline.store.rows import Rows, digests
from pipeline.tables import MADE_FROM

Facts = Mapping[str, str]


def inputs_of(node: Node) -> dict[str, str]:
    """Input -> node, of the inputs that are tables."""
    return {input_: name for input_, name in node.inputs.items() if input_ != "listing"}


def current_parts(
    store: Store, nodes: Sequence[Node], asked: Sequence[Asked]
) -> dict[str, set[str]]:
    """Of each node (all of a DAG, in topological order) the names of the parts that are current.

    In these all rows that are asked for are there, none of them failed only for now, and all are
    made from what the inputs hold. A part of which an input is missing, or not current itself, is
    not. Reads footers, and rows only of parts of which not all is asked for, or some failed for
    now. Raises UserError for one that is damaged.
    """
    commits: dict[str, dict[str, str]] = {}
    images = next((node.folder for node in nodes if node.name == "images"), "")
    for node in nodes:
        if node.name == "listing":
            continue
        mine = commits[node.name] = {}
        for one in asked:
            facts = facts_of(store, node, one.part)
            if facts is None or _changed(facts, _now(node, one.part, commits)):
                continue
            if not len(lacking(store, node, one, facts)) and _found_alike(store, node, one, images):
                mine[one.part] = facts["commit"]
    return {name: set(parts) for name, parts in commits.items()}


def absent(store: Store, node: Node, one: Asked, facts: Facts | None) -> pa.Array:
    """The asked ids that a part has no row of; `facts`: the part's, None where there is none.

    A node of texts has them for all that its inputs have: its own part tells of none.
    """
    if facts is None:
        return one.ids
    if _given(node, one) or node.stage.key == "text_id" or int(facts["rows_in"]) == one.members:
        return one.ids[:0]
    return Rows("image_id", store.read(node.folder, one.part, ["image_id"])).absent(one.ids)


def lacking(store: Store, node: Node, one: Asked, facts: Facts | None) -> pa.Array:
    """The asked ids that are `absent`, and those that failed for now; of texts, the text ids."""
    if facts is None or _given(node, one) or facts["transient"] == "0":
        return absent(store, node, one, facts)
    key = node.stage.key
    rows = Rows(key, store.read(node.folder, one.part, [key, "error"]))
    return rows.lacking(one.ids if key == "image_id" else rows.known())


def _given(node: Node, one: Asked) -> bool:
    """Whether a part is of clean images, which are there before they are asked for."""
    return node.name == "images" and not part_tag(one.part)


def facts_of(store: Store, node: Node, part: str) -> dict[str, str] | None:
    """A part's facts; None where it is not there."""
    path = store.folder(node) / part
    return store.facts(path) if path.exists() else None


def stale_parts(store: Store, nodes: Sequence[Node], asked: Sequence[Asked]) -> dict[str, set[str]]:
    """Of each node the parts that were made from other rows than their inputs hold now."""
    commits: dict[str, dict[str, str]] = {}
    stale: dict[str, set[str]] = {}
    for node in nodes:
        if node.name == "listing":
            continue
        known = {one.part: facts_of(store, node, one.part) for one in asked}
        commits[node.name] = {part: facts["commit"] for part, facts in known.items() if facts}
        stale[node.name] = {
            part
            for part, facts in known.items()
            if facts and changed_inputs(facts, _now(node, part, commits))
        }
    return stale


def changed_inputs(facts: Facts, now: Mapping[str, str | None]) -> list[str]:
    """The inputs of a part that have other rows by now.

    `facts`: the part's. `now`: input -> commit, None where it is missing, which says nothing.
    """
    made_from = loads(facts.get("inputs", "{}"))
    return [input_ for input_, commit in now.items() if commit not in (None, made_from.get(input_))]


def check_not_stale(store: Store, nodes: Sequence[Node], asked: Sequence[Asked]) -> None:
    """UserError when parts were made from other rows than their inputs hold now."""
    stale = {name: parts for name, parts in stale_parts(store, nodes, asked).items() if parts}
    if stale:
        counts = ", ".join(f"{len(parts):,} of {name}" for name, parts in stale.items())
        raise UserError(
            f"parts were made from other rows than their inputs hold now: {counts}",
            str(store.root),
            "run the DAG again: what depends on these rows is computed anew",
        )


def is_current(store: Store, node: Node, one: Asked, folders: Mapping[str, str]) -> bool:
    """Whether a part is current; `folders` of the store, by the names of the nodes it needs."""
    facts = facts_of(store, node, one.part)
    if facts is None:
        return False
    inputs = inputs_of(node).items()
    now = {input_: store.commit(folders[name], one.part) for input_, name in inputs}
    if _changed(facts, now) or len(lacking(store, node, one, facts)):
        return False
    return _found_alike(store, node, one, folders["images"])


def _found_alike(store: Store, node: Node, one: Asked, images: str) -> bool:
    """Whether all rows were found by what the images are found by now; `images`: their folder."""
    if node.stage.finds is None:
        return True
    rows = store.read(images, one.part)
    rows = rows.take(pc.index_in(one.ids, value_set=rows["image_id"]).drop_null())
    files = one.files.take(pc.index_in(rows["image_id"], value_set=one.ids).combine_chunks())
    for name in files.column_names[1:]:
        rows = rows.append_column(name, files[name])
    ids = rows["image_id"].combine_chunks()
    inputs = {"images": rows, **found_by(node, {"images": rows})}
    there = store.read(node.folder, one.part, ["image_id", MADE_FROM, "error"])
    return not len(Rows("image_id", there).outdated(ids, digests(inputs, ids)))


def found_by(node: Node, inputs: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """By what else images are found than by their content, as a table that digests are made of."""
    if node.stage.finds is None:
        return {}
    ids, names = inputs["images"]["image_id"], node.stage.finds(inputs, node.parameters)
    return {"names": pa.table({"image_id": ids, "name": pa.array(names, pa.string())})}


def _now(node: Node, part: str, commits: Mapping[str, Mapping[str, str]]) -> dict[str, str | None]:
    """The commit of each input's part; None where it is not there."""
    return {input_: commits[name].get(part) for input_, name in inputs_of(node).items()}


def _changed(facts: Facts, now: Mapping[str, str | None]) -> bool:
    return loads(facts.get("inputs", "{}")) != now
