"""What a node costs for each image, as measured: in this store, or by `--calibrate`. No guesses."""

import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.dag.cluster import Local
from pipeline.dag.graph import Dag, Draft, Node, fingerprinted
from pipeline.engine import machine
from pipeline.engine import run as runner
from pipeline.engine.progress import Reporter
from pipeline.errors import many
from pipeline.plan.recipe_changes import differences
from pipeline.store.parts import Store, part_tag

_PART, _PART_ON_GPU = 32, 512  # images of a part that is computed only to be measured
_NEWEST = 64  # parts that are looked at: as many as a stable rate needs


@dataclass(frozen=True)
class Rate:
    """Cost of one image at one node: seconds of one worker, bytes in the store.

    `images` were measured; `basis` says where, in words.
    """

    seconds: float
    bytes: float
    images: int
    basis: str


def measured(store: Store, node: Node, variants: bool | None = None) -> Rate | None:
    """The rate that the store's own parts give, or None where it has none to go by.

    `variants`: of parts in variants alone, or of clean parts alone; None: of all.

    Parts of this very fingerprint; else of the recipe with the same stage and models that differs
    least (of several the newest), and `basis` says in what. Loading models is not counted. Of three
    parts and more the median counts: the first ones are slower.
    """
    own = _newest(store, node.folder, variants)
    found = _rate(store, own, node.stage.key, "this node's parts")
    if found is not None:
        return found
    known = [(differences(one, node.recipe), one) for one in store.recipes(node.stage.name)]
    for differing, recipe in sorted(known, key=lambda one: len(one[0])):
        if recipe.get("models") != node.recipe["models"]:
            continue
        basis = f"parts of the same stage and model ({'; '.join(differing) or 'other inputs'})"
        parts = _newest(store, f"{node.stage.name}/{recipe['fingerprint']}", variants)
        found = _rate(store, parts, node.stage.key, basis)
        if found is not None:
            return found
    return None


def calibrate(
    dag: Dag,
    draft: Draft,
    reporter: Reporter,
    workers: int | None = None,
    images: int | None = None,
) -> dict[str, Rate]:
    """The rate of every node by running the DAG over some of its files, as a run here would.

    With its workers on this machine (`workers`: at most so many) at the same time, since they
    share its memory, its disk and its devices. There are two parts of `images` for each, and as
    many as there are workers, the first ones, are left out where there are more: a worker is warm
    by its second. The files are spread evenly over the corpus; the store is a temporary one. Models
    are loaded before the clock starts. Raises UserError as a run does.
    """
    nodes = list(dag.nodes.values())
    cluster = dag.cluster if isinstance(dag.cluster, Local) else Local()
    asked = min(workers, machine.default_workers(nodes)) if workers else None
    here = machine.workers_here(nodes, cluster, asked)
    at_once = len(here.gpus) or here.cpu
    each = images or (_PART_ON_GPU if here.gpus else _PART)
    most = min(2 * at_once * each, dag.corpus.limit or inf)
    graph = replace(_sample(draft, most, each), cluster=cluster)
    said = f"{many(at_once, 'worker')} at once" if at_once > 1 else "1 worker"
    reporter.say(f"measuring on at most {many(most, 'image')}, with {said}, in a store for that")
    with tempfile.TemporaryDirectory(prefix="item-calibrate-") as folder:
        store = Store(Path(folder) / "store")
        options = runner.Options(workers=asked, told=True)
        runner.run(graph, store, list(graph.nodes.values()), options, reporter)
        rates = {}
        for node in graph.nodes.values():
            parts = sorted(store.parts(node), key=lambda part: store.facts(part).get("started", ""))
            warm = parts[at_once:]
            how = "warm" if warm else "on the first images of each"
            rate = _rate(store, warm or parts, node.stage.key, f"calibrated with {said}, {how}")
            if rate is not None:
                rates[node.name] = rate
        return rates


def _sample(draft: Draft, images: int, part_size: int) -> Dag:
    """The DAG over so many of its clean images: few may have none of a split of variants."""
    few = {"limit": images, "part_size": part_size, "variants": {}}
    corpus = draft.file.corpus.model_copy(update=few)
    file = draft.file.model_copy(update={"corpus": corpus, "experiments": {}})
    return fingerprinted(replace(draft, file=file))


def workers_of(dag: Dag, asked: int | None) -> int:
    """The workers that an estimate is for: as asked, as the DAG says, or as `item run` has them."""
    if asked is not None:
        return asked
    if dag.cluster.workers != "auto":
        return dag.cluster.workers
    return machine.default_workers(list(dag.nodes.values()))


def _newest(store: Store, folder: str, variants: bool | None) -> list[Path]:
    """The last parts of a node's folder: of variants, of clean images, or both."""
    return [
        path
        for path in store.parts_of(folder)
        if variants is None or bool(part_tag(path.name)) == variants
    ][-_NEWEST:]


def _rate(store: Store, parts: Sequence[Path], key: str, basis: str) -> Rate | None:
    measurements = []
    places: set[str] = set()
    for path in parts:
        facts = store.facts(path)
        images = _images(store, path.name, facts, key)
        if images:
            measurements.append((images, _seconds(facts), path.stat().st_size))
            places |= {_place(facts)} - {""}
    if not measurements:
        return None
    total = sum(images for images, _, _ in measurements)
    each = [seconds / images for images, seconds, _ in measurements]
    seconds = median(each) if len(each) > 2 else sum(s for _, s, _ in measurements) / total
    basis += f", on {', '.join(sorted(places))}" if places else ""
    return Rate(seconds, sum(size for *_, size in measurements) / total, total, basis)


def _place(facts: Mapping[str, Any]) -> str:
    """What a part's time depends on: the device and precision of its models, and a machine."""
    model = " ".join(facts[name] for name in ("device", "precision") if facts.get(name))
    host = facts.get("host", "")
    elsewhere = host if host != socket.gethostname() else ""
    return " of ".join(part for part in (model, elsewhere) if part)


def _images(store: Store, part: str, facts: Mapping[str, Any], key: str) -> int:
    """Images of a part: its rows in, except where rows are texts; 0 when that is not known."""
    if key in ("image_id", "uri"):
        return int(facts["rows_in"])
    path = store.images_part(part)
    return int(store.facts(path)["rows_in"]) if path else 0


def _seconds(facts: Mapping[str, Any]) -> float:
    spent = (facts["seconds_read"], facts["seconds_infer"], facts["seconds_write"])
    return sum(float(seconds) for seconds in spent)


def duration(seconds: float | None) -> str:
    """Seconds for a person: `0.4 s`, `12 min`, `3.5 h`, `2.1 days`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    steps: list[tuple[float, str, Callable[[float], str]]] = [
        (86400, "days", "{:.1f}".format),
        (3600, "h", "{:.1f}".format),
        (60, "min", "{:.0f}".format),
    ]
    for size, unit, form in steps:
        if seconds >= 2 * size:
            return f"{form(seconds / size)} {unit}"
    return f"{seconds:.1f} s"
