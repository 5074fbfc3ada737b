"""How well reals and fakes fit their captions: the distributions of one generator."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.pages.figures import plot
from pipeline.pages.figures.plot import Figure

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

LEVELS = {"global": "image and caption", "local": "objects, mean of an image"}


def distribution(bins: "pa.Table", generator: str | None, number: int, verdict: str) -> Figure:
    """The cosines of one generator's fakes and the reals beside them, global above local.

    `bins`: its rows of the query distributions. `number`: which figure of its kind it is.
    `verdict`: that of the hypothesis, in words.
    """
    rows = bins.to_pylist()
    title = generator or "(none)"
    levels = [level for level in LEVELS if any(row["level"] == level for row in rows)]
    with plot.drawing(len(levels), height=1.75 * len(levels)) as (found, all_):
        for level, axes in zip(levels, all_, strict=True):
            histogram(axes, [row for row in rows if row["level"] == level], level)
        alt = f"Distributions of cosines, {title}. {_means(rows, levels)} {verdict}"
        drawing = plot.svg(found, f"distribution-{number}", alt)
    own = next((row["against"] for row in rows), "own")
    whose = " It has no reals of its own: all of the DAG." if own == "all" else ""
    return Figure(
        f"distribution-{number}",
        title,
        f"{verdict}{whose}",
        alt,
        drawing,
        bins,
        [
            plot.mark(f"reals ({_count(rows, 'reals'):,})", plot.REAL),
            plot.mark(f"fakes ({_count(rows, 'fakes'):,})", plot.FAKE),
        ],
    )


def histogram(axes: "Axes", rows: Sequence[Mapping[str, Any]], level: str) -> None:
    """Draws the shares of reals and fakes: `rows` are the bins of one level, in their order."""
    for kind, colour in (("real_share", plot.REAL), ("fake_share", plot.FAKE)):
        x, y = _steps(rows, kind)
        axes.fill_between(x, y, step="post", color=colour, alpha=0.16, linewidth=0)
        axes.step(x, y, where="post", color=colour, linewidth=1.3)
    axes.set_xlabel(f"cosine, {level}: {LEVELS[level]}")
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _steps(rows: Sequence[Mapping[str, Any]], kind: str) -> tuple[list[float], list[float]]:
    """Edges and heights of a histogram: bins that hold no image are not among the rows."""
    x: list[float] = []
    y: list[float] = []
    end = None
    for row in rows:
        if end is not None and row["bin_from"] - end > 1e-9:
            x.append(end)
            y.append(0.0)
        x.append(row["bin_from"])
        y.append(row[kind] or 0.0)
        end = row["bin_to"]
    return ([*x, end], [*y, 0.0]) if end is not None else ([], [])


def _count(rows: Sequence[Mapping[str, Any]], kind: str) -> int:
    return max(
        (sum(row[kind] for row in rows if row["level"] == level) for level in LEVELS), default=0
    )


def _means(rows: Sequence[Mapping[str, Any]], levels: Sequence[str]) -> str:
    said = []
    for level in levels:
        own = [row for row in rows if row["level"] == level]
        for kind in ("reals", "fakes"):
            many = sum(row[kind] for row in own)
            if many:
                middle = sum(row[kind] * (row["bin_from"] + row["bin_to"]) / 2 for row in own)
                said.append(f"{level} mean of {many:,} {kind} {middle / many:.3f}")
    return f"{'; '.join(said)}." if said else "No cosines."
