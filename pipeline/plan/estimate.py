"""What a node costs for each image, as measured: in this store, or by `--calibrate`. No guesses."""

import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pipeline import models
from pipeline.dag.graph import Dag, Node, load
from pipeline.engine import executors, machine
from pipeline.engine import run as runner
from pipeline.engine.progress import Reporter
from pipeline.errors import many
from pipeline.plan.recipe_changes import differences
from pipeline.store.parts import Store, part_tag

CALIBRATION_IMAGES = 64
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

    Parts of this very fingerprint; else of the newest recipe with the same stage and models, and
    `basis` says in what it differs. Loading models is not counted. Of three parts and more the
    median counts: the first ones are slower.
    """
    found = _rate(store, node.folder, node.stage.key, "this node's parts", variants)
    if found is not None:
        return found
    for recipe in store.recipes(node.stage.name):
        if recipe.get("models") != node.recipe["models"]:
            continue
        differing = "; ".join(differences(recipe, node.recipe)) or "other inputs"
        basis = f"parts of the same stage and model ({differing})"
        folder = f"{node.stage.name}/{recipe['fingerprint']}"
        found = _rate(store, folder, node.stage.key, basis, variants)
        if found is not None:
            return found
    return None


def calibrate(
    dag: str, overrides: Sequence[str], reporter: Reporter, images: int = CALIBRATION_IMAGES
) -> dict[str, Rate]:
    """The rate of every node by running the DAG over `images` of its files, in one process.

    The files are spread evenly over the corpus; the store is a temporary one. Models are loaded
    before the clock starts. Raises UserError as a run does.
    """
    # clean images alone: a sample of them may have none of a split that variants are made of
    sample = {"limit": images, "part_size": images, "variants": "{}"}
    limits = [f"corpus.{key}={value}" for key, value in sample.items()]
    graph = load(dag, [*overrides, *limits])
    nodes = list(graph.nodes.values())
    reporter.say(f"measuring on {many(images, 'image')}, in one process")
    with tempfile.TemporaryDirectory(prefix="item-calibrate-") as folder:
        store = Store(Path(folder) / "store")
        quiet = runner.Options(inline=True, mapped=lambda _: None)
        with executors.executor(nodes, True, None, None, reporter.say):
            for node in graph.computed:
                for spec in node.stage.models(node.parameters):
                    models.get(spec)
        runner.run(graph, store, nodes, quiet, reporter)
        rates = {}
        for node in nodes:
            rate = _rate(store, node.folder, node.stage.key, "")
            if rate is not None:
                basis = f"calibrated on {many(rate.images, 'image')}, model loading not counted"
                rates[node.name] = Rate(rate.seconds, rate.bytes, rate.images, basis)
        return rates


def workers_of(dag: Dag, asked: int | None) -> int:
    """The workers that an estimate is for: as asked, as the DAG says, or as `item run` has them."""
    if asked is not None:
        return asked
    if dag.cluster.workers != "auto":
        return dag.cluster.workers
    return machine.default_workers(list(dag.nodes.values()))


def _rate(
    store: Store, folder: str, key: str, basis: str, variants: bool | None = None
) -> Rate | None:
    paths = [
        path
        for path in store.parts_of(folder)
        if variants is None or bool(part_tag(path.name)) == variants
    ][-_NEWEST:]
    measurements = []
    places: set[str] = set()
    for path in paths:
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
