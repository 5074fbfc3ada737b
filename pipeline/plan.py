"""What a run would do, and why: the store's recipes against the DAG's."""

from dataclasses import dataclass
from math import ceil
from typing import Any

from pipeline import index
from pipeline.dag import Dag, Node
from pipeline.store import Store


@dataclass(frozen=True)
class Step:
    """One node of a plan: parts done of all, images still to compute, and the reason."""

    node: str
    stage: str
    parts_done: int
    parts: int
    images: int
    reason: str


def plan(dag: Dag, store: Store) -> list[Step]:
    """What `item run` would compute, node by node. Reads the corpus's file names, no image."""
    images = dag.nodes["images"]
    fresh = len(index.new_files(dag, store, index.find(dag)))
    sizes = {path.name: int(store.facts(path)["rows_in"]) for path in store.parts(images)}
    fresh_parts = ceil(fresh / dag.corpus.part_size)
    steps = []
    for node in dag.nodes.values():
        index_node = node.name in ("listing", "images")
        done = {path.name for path in store.parts(node)}
        done = done if index_node else done & set(sizes)
        todo = sum(size for name, size in sizes.items() if name not in done)
        reason = _reason(dag, store, node, len(done), len(sizes), fresh)
        parts = max(len(done), len(sizes)) + fresh_parts
        steps.append(
            Step(
                node.name,
                node.stage.name,
                len(done),
                parts,
                fresh if index_node else todo + fresh,
                reason,
            )
        )
    return steps


def _reason(dag: Dag, store: Store, node: Node, done: int, parts: int, fresh: int) -> str:
    if done == 0:
        return _difference(dag, store, node)
    missing = parts - done if node.name not in ("listing", "images") else 0
    reasons = []
    if missing:
        reasons.append(f"{missing} parts not computed yet")
    if fresh:
        reasons.append(f"{fresh} new files")
    return ", ".join(reasons) or "complete"


def _difference(dag: Dag, store: Store, node: Node) -> str:
    """Why a node has no parts: what differs from the newest recipe of the same node name."""
    if any(recipe["fingerprint"] == node.fingerprint for recipe in store.recipes(node.stage.name)):
        return "not computed yet"
    known = [r for r in store.recipes(node.stage.name) if r.get("node") == node.name]
    if not known:
        return "never computed"
    before, now = known[0], node.recipe
    reasons = []
    if before.get("version") != now["version"]:
        reasons.append(f"stage version {before.get('version')} -> {now['version']}")
    reasons += _changed(before.get("parameters", {}), now["parameters"])
    if before.get("models") != now["models"]:
        reasons.append("another model")
    changed = before.get("inputs", {})
    others = [
        node.inputs[input_]
        for input_, fingerprint in now["inputs"].items()
        if changed.get(input_) != fingerprint
    ]
    if others:
        reasons.append(f"input{'s' * (len(others) > 1)} {', '.join(others)} changed")
    return "; ".join(reasons) or "recipe changed"


def _changed(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += _changed(old, new, f"{prefix}{key}.")
        elif old != new:
            lines.append(f"{prefix}{key} {old} -> {new}")
    return lines
