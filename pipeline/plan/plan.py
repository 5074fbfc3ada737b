"""What a run would do, and why: the store's recipes against the DAG's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from pipeline.corpus.layouts.labels import Labels
from pipeline.corpus.variants import ALL, CLEAN
from pipeline.dag.graph import Dag, Node
from pipeline.engine.queues import index
from pipeline.errors import many
from pipeline.plan.estimate import Rate, measured
from pipeline.plan.foreseen import foreseen
from pipeline.plan.recipe_changes import differences
from pipeline.store.contents import Asked, asked, check_distinct, check_variants
from pipeline.store.layout import settled
from pipeline.store.parts import Store
from pipeline.store.snapshot import Changes, compare
from pipeline.store.todo import current_parts, facts_of, lacking


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
    dag: Dag,
    store: Store,
    workers: int = 1,
    calibrated: Mapping[str, Rate] | None = None,
    changes: Changes | None = None,
) -> list[Step]:
    """What `item run` would compute, node by node. Reads the corpus's file names, no image.

    `changes`: those of the corpus, where they are known (then the DAG's layout is settled). The
    cost is that of `workers` workers, at the `calibrated` rates of the nodes where they are given,
    else at those that the store itself has. A file with the size and the time of change of one that
    is gone, or that lay at the same path below another root, is taken for the same content: it
    costs what is not computed of it.
    """
    if changes is None:
        files = index.find(dag, store)
        dag = settled(dag, store, files)
        changes = compare(dag, store, files)
    listing, described, new = foreseen(dag, store, changes)
    found = asked(dag, store, listing)
    fresh = len(new)
    perturbed = _in_variants(dag, new["path"].to_pylist())
    if found and not fresh:
        check_variants(dag, found)
    check_distinct(list(dag.nodes.values()), found)
    current = current_parts(store, list(dag.nodes.values()), found)
    steps = []
    for node in dag.nodes.values():
        if node.name == "listing":
            counts = len(described), len(described) - fresh
            steps.append(_listing_step(dag, store, node, counts, calibrated, workers))
            continue
        lacking = [one for one in found if one.part not in current[node.name]]
        todo = {one.part: _lost(store, node, one) for one in lacking}
        varied = sum(todo[one.part] for one in lacking if one.variant != CLEAN) + perturbed
        images = sum(todo.values()) + fresh + perturbed
        parts = len(lacking) + ceil(fresh / dag.corpus.part_size)
        # clean images are copied from the listing: only variants are opened, and cost
        perturbing = node.name == "images" and varied > 0
        if calibrated is not None:  # on clean images
            rate = None if perturbing else calibrated.get(node.name)
        else:
            rate = measured(store, node, perturbing if node.name == "images" else None)
        steps.append(
            Step(
                node.name,
                node.stage.name,
                node.fingerprint,
                len(found) - len(lacking),
                len(found) + ceil(fresh / dag.corpus.part_size),
                images,
                _reason(dag, store, node, found, lacking, todo, fresh),
                *_cost(varied if perturbing else images, rate, parts, workers),
            )
        )
    return steps


def _listing_step(
    dag: Dag,
    store: Store,
    node: Node,
    files: tuple[int, int],
    calibrated: Mapping[str, Rate] | None,
    workers: int,
) -> Step:
    """Of the listing; `files`: how many are to be described, and how many of them seem known."""
    fresh, known = files
    parts, more = len(store.parts(node)), ceil(fresh / dag.corpus.part_size)
    rate = measured(store, node, None) if calibrated is None else calibrated.get(node.name)
    reasons = [] if parts else [_difference(dag, store, node)]
    if known:
        seem = f"{known:,} of them known by size and time of change"
        reasons.append(f"{many(fresh, 'new file')}, {seem}")
    elif fresh and parts:
        reasons.append(many(fresh, "new file"))
    return Step(
        node.name,
        node.stage.name,
        node.fingerprint,
        parts,
        parts + more,
        fresh,
        "; ".join(reasons) or "complete",
        *_cost(fresh, rate, more, workers),
    )


def _lost(store: Store, node: Node, one: Asked) -> int:
    """How many images a part lacks; of texts, which only their inputs tell, all or none."""
    return len(lacking(store, node, one, facts_of(store, node, one.part)))


def _in_variants(dag: Dag, paths: Sequence[str]) -> int:
    """How many images in variants new files will give, before any of them is read.

    Exact where all contents differ and the share is 1.
    """
    found = dag.corpus.reading.read(paths) if dag.corpus.variants else ()
    splits = Counter(one.split if isinstance(one, Labels) else None for one in found)
    each = (
        sum(splits.total() if split == ALL else splits[split] for split in some)
        for some in dag.corpus.splits_of.values()
    )
    return round(sum(each) * dag.corpus.variant_share)


def _cost(
    images: int, rate: Rate | None, parts: int, workers: int
) -> tuple[float | None, int | None, str]:
    """Seconds, bytes and their basis: a part is made by one worker, while others may be idle."""
    if images == 0:
        return 0.0, 0, ""
    if rate is None:
        return None, None, "nothing measured: run a part, or plan with --calibrate"
    share = ceil(parts / workers) / parts  # of all parts, of the worker that has most of them
    return round(images * rate.seconds * share, 2), round(images * rate.bytes), rate.basis


def _reason(
    dag: Dag,
    store: Store,
    node: Node,
    found: Sequence[Asked],
    lacking: Sequence[Asked],
    todo: Mapping[str, int],
    fresh: int,
) -> str:
    """Why a node has something to do; `lacking`: what it has not, or not as its inputs are now."""
    there = {path.name for path in store.parts(node)}
    if (lacking or not found) and not there & {one.part for one in found}:
        return _difference(dag, store, node)
    reasons = []
    if changed := sum(not todo[one.part] for one in lacking):
        reasons.append(f"{many(changed, 'part')} to compare with what they are made from now")
    missing = [one for one in lacking if todo[one.part]]
    if clean := sum(todo[one.part] for one in missing if one.variant == CLEAN):
        reasons.append(f"{many(clean, 'image')} not computed yet")
    names = list(dict.fromkeys(one.variant for one in missing if one.variant != CLEAN))
    if names:
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        count = sum(todo[one.part] for one in missing) - clean
        what = f"variant{'s' * (len(names) > 1)} {', '.join(names[:2])}{more}"
        reasons.append(f"{many(count, 'image')} in {what} not computed yet")
    if fresh:
        reasons.append(many(fresh, "new file"))
    return ", ".join(reasons) or "complete"


def _difference(dag: Dag, store: Store, node: Node) -> str:
    """Why a node has no parts: what differs from the nearest recipe of the same node name.

    Of several that are as near the newest one.
    """
    recipes = store.recipes(node.stage.name)
    if any(recipe["fingerprint"] == node.fingerprint for recipe in recipes):
        return "not computed yet"
    known = [_reasons(recipe, node) for recipe in recipes if recipe.get("node") == node.name]
    if not known:
        return "never computed"
    nearest = min(known, key=len)
    return "; ".join(nearest) or "recipe changed"


def _reasons(before: Mapping[str, Any], node: Node) -> list[str]:
    reasons, inputs = differences(before, node.recipe), before.get("inputs", {})
    others = [
        node.inputs[input_]
        for input_, fingerprint in node.recipe["inputs"].items()
        if inputs.get(input_) != fingerprint
    ]
    if others:
        reasons.append(f"input{'s' * (len(others) > 1)} {', '.join(others)} changed")
    return reasons
