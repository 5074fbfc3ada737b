"""What a run would do, and why: the store's recipes against the DAG's."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from pipeline import index
from pipeline.dag import Dag, Node
from pipeline.estimate import Rate, measured
from pipeline.recipes import differences
from pipeline.store import Store


@dataclass(frozen=True)
class Step:
    """One node of a plan: parts done of all, images still to compute, the reason, and the cost.

    `seconds` (with the plan's workers) and `bytes` are for the images still to compute, from
    measured rates; None where nothing was measured. `basis` says what was.
    """

    node: str
    stage: str
    fingerprint: str
    parts_done: int
    parts: int
    images: int
    reason: str
    seconds: float | None
    bytes: int | None
    basis: str


def plan(
    dag: Dag, store: Store, workers: int = 1, calibrated: Mapping[str, Rate] | None = None
) -> list[Step]:
    """What `item run` would compute, node by node. Reads the corpus's file names, no image.

    The cost is that of `workers` workers that do not hinder each other, at the `calibrated` rates
    of the nodes where they are given, else at those that the store itself has.
    """
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
        images_todo = fresh if index_node else todo + fresh
        rate = calibrated.get(node.name) if calibrated is not None else measured(store, node)
        steps.append(
            Step(
                node.name,
                node.stage.name,
                node.fingerprint,
                len(done),
                parts,
                images_todo,
                reason,
                *_cost(images_todo, rate, workers),
            )
        )
    return steps


def _cost(images: int, rate: Rate | None, workers: int) -> tuple[float | None, int | None, str]:
    if images == 0:
        return 0.0, 0, ""
    if rate is None:
        return None, None, "nothing measured: run a part, or plan with --calibrate"
    return round(images * rate.seconds / workers, 2), round(images * rate.bytes), rate.basis


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
    reasons = differences(before, now)
    changed = before.get("inputs", {})
    others = [
        node.inputs[input_]
        for input_, fingerprint in now["inputs"].items()
        if changed.get(input_) != fingerprint
    ]
    if others:
        reasons.append(f"input{'s' * (len(others) > 1)} {', '.join(others)} changed")
    return "; ".join(reasons) or "recipe changed"
