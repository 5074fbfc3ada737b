"""What a run would do, and why: the store's recipes against the DAG's."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from pipeline.dag.graph import Dag, Node
from pipeline.engine.queues import index, variant_parts
from pipeline.plan.estimate import Rate, measured
from pipeline.plan.recipe_changes import differences
from pipeline.store.parts import Store, part_tag
from pipeline.store.todo import current_parts


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
    new = [path for _, path in index.new_files(dag, store, index.find(dag))]
    fresh = _Fresh(len(new), ceil(len(new) / dag.corpus.part_size))
    perturbed = _Fresh(*variant_parts.of_new_files(dag, new))
    clean = [path.name for path in store.current(images, images)]
    sizes = {path: int(store.facts(store.folder(images) / path)["rows_in"]) for path in clean}
    wanted = variant_parts.wanted(dag, store)
    if clean and not new:
        variant_parts.without_images(dag, wanted)
    sizes |= {part.name: len(part.ids) for part in wanted}
    steps = []
    current = current_parts(store, list(dag.nodes.values()))
    for node in dag.nodes.values():
        there = current[node.name]
        coming = [fresh] if node.name == "listing" else [fresh, perturbed]
        if node.name == "listing":
            done, lacking, parts = len(there), [], max(len(there), len(clean))
        else:
            lacking = [name for name in sizes if name not in there]
            done, parts = len(sizes) - len(lacking), len(sizes)
        todo = sum(sizes[name] for name in lacking)
        variants = sum(sizes[name] for name in lacking if part_tag(name)) + perturbed.images
        reason = _reason(dag, store, node, done, lacking, fresh.images)
        images_todo = todo + sum(some.images for some in coming)
        # clean images are copied from the listing: only variants are opened, and cost
        perturbing = node is images and variants > 0
        if calibrated is not None:  # on clean images
            rate = None if perturbing else calibrated.get(node.name)
        else:
            rate = measured(store, node, perturbing if node is images else None)
        costly = variants if perturbing else images_todo
        steps.append(
            Step(
                node.name,
                node.stage.name,
                node.fingerprint,
                done,
                parts + sum(some.parts for some in coming),
                images_todo,
                reason,
                *_cost(costly, rate, workers),
            )
        )
    return steps


@dataclass(frozen=True)
class _Fresh:
    """What files that are not listed yet will give."""

    images: int
    parts: int


def _cost(images: int, rate: Rate | None, workers: int) -> tuple[float | None, int | None, str]:
    if images == 0:
        return 0.0, 0, ""
    if rate is None:
        return None, None, "nothing measured: run a part, or plan with --calibrate"
    return round(images * rate.seconds / workers, 2), round(images * rate.bytes), rate.basis


def _reason(dag: Dag, store: Store, node: Node, done: int, lacking: list[str], fresh: int) -> str:
    """Why a node has something to do; `lacking`: the names of the parts that it has not."""
    there = {path.name for path in store.parts(node)}
    stale = [name for name in lacking if name in there]
    if done == 0 and not stale:
        return _difference(dag, store, node)
    reasons = [f"{len(stale)} parts to compare with what they were made from"] if stale else []
    lacking = [name for name in lacking if name not in there]
    if clean := sum(not part_tag(name) for name in lacking):
        reasons.append(f"{clean} parts not computed yet")
    if len(lacking) > clean:
        tags = dag.corpus.tags
        names = list(dict.fromkeys(tags[part_tag(name)][1] for name in lacking if part_tag(name)))
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        what = f"variant{'s' * (len(names) > 1)} {', '.join(names[:2])}{more}"
        reasons.append(f"{len(lacking) - clean} parts of {what} not computed yet")
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
