"""The paper's Figure 4: what is left of each method on perturbed images."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.corpus.variants import CLEAN, order
from pipeline.pages.figures import plot
from pipeline.pages.figures.plot import Figure


METHODS = 8  # with a line of their own


def robustness(rows: Sequence[Mapping[str, Any]], methods: Sequence[str], name: str) -> Figure:
    """Average precision in each variant, a panel a kind of perturbation, a line a method.

    `rows`: of METRICS or OVER_SEEDS, one a method and variant. `methods`: those to draw, at most
    METHODS. `name`: of the experiment.
    """
    import pyarrow as pa

    ap = {(row["method"], row["variant"]): row["ap"] for row in rows}
    kinds: dict[str, list[str]] = {}
    for variant in order(variant for _, variant in ap):
        if variant != CLEAN:
            kinds.setdefault(_kind(variant), []).append(variant)
    with plot.drawing(1, len(kinds), width=max(4.6, 2.6 * len(kinds)), sharey=True) as (found, all_):
        for kind, axes in zip(kinds, all_, strict=True):
            steps = [CLEAN, *kinds[kind]]
            for method, colour in zip(methods, plot.LINES, strict=False):
                values = [ap.get((method, variant)) for variant in steps]
                axes.plot(
                    range(len(steps)),
                    [float("nan") if one is None else one for one in values],
                    color=colour,
                    marker="o",
                    markersize=3.5,
                )
            labels = [CLEAN, *(variant.partition("_")[2] or variant for variant in kinds[kind])]
            axes.set_xticks(range(len(steps)), labels)
            axes.set_xlabel(kind)
            axes.grid(True, axis="y")
            axes.margins(x=0.08)
        all_[0].set_ylabel("average precision")
        alt = _alt(ap, methods, kinds)
        drawing = plot.svg(found, f"figure4-{name}", alt)
    drawn = [row for row in rows if row["ap"] is not None]
    data = {key: [row[key] for row in drawn] for key in ("method", "variant", "ap")}
    data |= {"ap_less_clean": [row["ap_less_clean"] for row in drawn]}
    return Figure(
        f"figure4-{name}",
        "Robustness (Figure 4)",
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


def _alt(
    ap: Mapping[tuple[str, str], float | None],
    methods: Sequence[str],
    kinds: Mapping[str, Sequence[str]],
) -> str:
    steps = [CLEAN, *(variant for some in kinds.values() for variant in some)]
    each = []
    for method in methods:
        values = [(step, ap.get((method, step))) for step in steps]
        said = ", ".join(f"{step} {one:.3f}" for step, one in values if one is not None)
        each.append(f"{method}: {said}")
    return f"Average precision by variant of the images. {'; '.join(each)}."
