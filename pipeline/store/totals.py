"""What of each node is in a store: parts, rows ok and failed, seconds and bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.variants import CLEAN
from pipeline.dag.graph import Dag, Node
from pipeline.store.contents import Asked, asked
from pipeline.store.parts import Store
from pipeline.store.provenance import differences
from pipeline.store.todo import Facts, absent, facts_of, inputs_of


@dataclass(frozen=True)
class NodeTotal:
    """A node's committed rows, of what the corpus asks for: rows in = rows ok + rows failed."""

    node: str
    parts_done: int  # in which no row that is asked for lacks
    parts: int
    rows_in: int
    rows_variants: int  # of rows_in, those of images in variants, or of their texts
    rows_ok: int
    rows_failed: int
    seconds: float  # summed over parts, whoever computed them and when
    bytes: int
    mixed: str  # versions of libraries in which its parts differ; empty when in none


def totals(
    dag: Dag, store: Store, nodes: Sequence[Node], found: Sequence[Asked] | None = None
) -> list[NodeTotal]:
    """The committed rows of each node, from the parts' own metadata.

    Rows are read only of parts of which the corpus asks for some and not for others. `found`: what
    it asks for, where that is known.
    """
    found = asked(dag, store) if found is None else found
    return [
        _listing(store, node) if node.name == "listing" else _total(dag, store, node, found)
        for node in nodes
    ]


def _listing(store: Store, node: Node) -> NodeTotal:
    parts = [(store.facts(path), path.stat().st_size, True) for path in store.parts(node)]
    counts = [(int(facts["rows_in"]), int(facts["rows_failed"])) for facts, _, _ in parts]
    return _summed(node, parts, counts, [False] * len(parts), len(parts))


def _total(dag: Dag, store: Store, node: Node, found: Sequence[Asked]) -> NodeTotal:
    parts, counts, varied = [], [], []
    for one in found:
        facts = facts_of(store, node, one.part)
        if facts is None:
            continue
        size = (store.folder(node) / one.part).stat().st_size
        done = facts.get("inputs") != "{}" or not node.inputs
        lost = 0 if node.stage.key == "text_id" else len(absent(store, node, one, facts))
        parts.append((facts, size, done and lost == 0))
        counts.append(_counts(dag, store, node, one, facts))
        varied.append(one.variant != CLEAN)
    return _summed(node, parts, counts, varied, len(found))


def _counts(dag: Dag, store: Store, node: Node, one: Asked, facts: Facts) -> tuple[int, int]:
    """(rows in, rows failed) of what is asked for."""
    key = node.stage.key
    ids = one.ids if key == "image_id" else _texts(dag, store, node, one)
    if one.whole or ids is None:
        return int(facts["rows_in"]), int(facts["rows_failed"])
    table = store.read(node.folder, one.part, [key, "error"])
    table = table.filter(pc.is_in(table[key], value_set=ids))
    failed = table.filter(pc.is_valid(table["error"]))
    return len(pc.unique(table[key])), len(pc.unique(failed[key]))


def _texts(dag: Dag, store: Store, node: Node, one: Asked) -> pa.Array | None:
    """The ids of the texts that the asked images need; None where that cannot be known."""
    texts, sources = node.stage.texts, {i: dag.nodes[name] for i, name in inputs_of(node).items()}
    there = all(store.has(source, one.part) for source in sources.values())
    if texts is None or one.whole or not there:
        return None
    inputs = {}
    for input_, source in sources.items():
        table = store.read(source.folder, one.part)
        inputs[input_] = table.filter(pc.is_in(table["image_id"], value_set=one.ids))
    return pc.unique(texts(inputs, node.parameters)["text_id"])


def _summed(
    node: Node,
    parts: Sequence[tuple[Facts, int, bool]],
    counts: Sequence[tuple[int, int]],
    varied: Sequence[bool],
    most: int,
) -> NodeTotal:
    rows_in, failed = (sum(count[place] for count in counts) for place in (0, 1))
    spent = ("seconds_read", "seconds_infer", "seconds_write")
    return NodeTotal(
        node.name,
        sum(done for *_, done in parts),
        most,
        rows_in,
        sum(count for (count, _), variant in zip(counts, varied, strict=True) if variant),
        rows_in - failed,
        failed,
        sum(float(facts[name]) for facts, *_ in parts for name in spent),
        sum(size for _, size, _ in parts),
        differences(facts["libraries"] for facts, *_ in parts),
    )
