"""The paper's Figure 4: what is left of each method on perturbed images."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.corpus.variants import CLEAN, order
from pipeline.pages.figures import plot
from pipeline.pages.figures.plot import Figure

METHODS = 8  # with a line of their own


def robustness(
    rows: Sequence[Mapping[str, Any]], methods: Sequence[str], name: str
) -> list[Figure]:
    """Average precision in each variant: a figure a kind of perturbation, a line a method.

    `rows`: of METRICS or OVER_SEEDS, one a method and variant. `methods`: those to draw, at most
    METHODS. `name`: of the experiment.
    """
    ap = {(row["method"], row["variant"]): row["ap"] for row in rows if row["ap"] is not None}
    kinds: dict[str, list[str]] = {}
    for variant in order(variant for _, variant in ap):
        if variant != CLEAN:
            kinds.setdefault(_kind(variant), [CLEAN]).append(variant)
    shown = [value for (method, _), value in ap.items() if method in methods]
    room = (min(shown, default=0) - 0.03, max(shown, default=1) + 0.03)  # of all kinds, to compare
    return [_of_kind(kind, steps, ap, rows, methods, name, room) for kind, steps in kinds.items()]


def _of_kind(
    kind: str,
    steps: Sequence[str],
    ap: Mapping[tuple[str, str], float],
    rows: Sequence[Mapping[str, Any]],
    methods: Sequence[str],
    name: str,
    room: tuple[float, float],
) -> Figure:
    import pyarrow as pa

    file = f"figure4-{name}-{kind.replace(' + ', '-')}"
    with plot.drawing() as (found, (axes,)):
        for method, colour in zip(methods, plot.LINES, strict=False):
            values = [ap.get((method, variant), float("nan")) for variant in steps]
            axes.plot(range(len(steps)), values, color=colour, marker="o", markersize=3.5)
        labels = [CLEAN, *(variant.partition("_")[2] or variant for variant in steps[1:])]
        axes.set_xticks(range(len(steps)), labels)
        axes.set(xlabel=kind, ylabel="average precision", ylim=room)
        axes.grid(True, axis="y")
        axes.margins(x=0.08)
        alt = _alt(ap, methods, steps)
        drawing = plot.svg(found, file, alt)
    own = [row for row in rows if row["variant"] in steps]
    data = {key: [row[key] for row in own] for key in ("method", "variant", "ap", "ap_less_clean")}
    return Figure(
        file,
        f"Figure 4: {kind}",
        "Average precision, the mean over unseen generators, on clean images and from mild to "
        "strong perturbation. The same images in every variant.",
        alt,
        drawing,
        pa.table(data),
        [plot.mark(method, colour) for method, colour in zip(methods, plot.LINES, strict=False)],
    )


def _kind(variant: str) -> str:
    """What was done to the images: `jpeg` of jpeg_50, all steps of a chain."""
    return " + ".join(step.partition("_")[0] for step in variant.split("+"))


def _alt(ap: Mapping[tuple[str, str], float], methods: Sequence[str], steps: Sequence[str]) -> str:
    each = []
    for method in methods:
        values = [(step, ap.get((method, step))) for step in steps]
        said = ", ".join(f"{step} {one:.3f}" for step, one in values if one is not None)
        each.append(f"{method}: {said}")
    return f"Average precision by variant of the images. {'; '.join(each)}."
