"""ROC and precision-recall curves of one method, a line a tested generator, and its calibration."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.pages.figures import plot
from pipeline.pages.figures.plot import Figure
from pipeline.pages.table import ABSENT

if TYPE_CHECKING:
    import pyarrow as pa

DRAWN = 8  # generators with a line of their own: as many colours as can be told apart


def drawn(scores: Mapping[str, float | None]) -> list[str]:
    """The generators that get a line: all of a few, else those with the lowest and highest score.

    `scores`: generator -> AP, in the order of the legend.
    """
    if len(scores) <= DRAWN:
        return list(scores)
    order = sorted(scores, key=lambda name: scores[name] or 0.0)
    kept = {*order[: DRAWN // 2], *order[-DRAWN // 2 :]}
    return [name for name in scores if name in kept]


def roc(points: "pa.Table", scores: Mapping[str, float | None], of: str) -> Figure:
    """The ROC curve. `points`: of the query operating_points. `scores`: generator -> AUROC.

    `of`: whose curve it is, in words.
    """
    lines = _lines(points, scores)
    with plot.drawing(height=plot.WIDTH * 0.86) as (found, (axes,)):
        axes.plot([0, 1], [0, 1], color=plot.QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
        for colour, rows in zip(plot.LINES, lines.values(), strict=False):
            axes.plot([0, *_column(rows, "fpr")], [0, *_column(rows, "tpr")], color=colour)
        plot.unit_axes(axes, "reals called fake", "fakes called fake")
        alt = _alt("ROC curves", of, lines, scores, "AUROC")
        drawing = plot.svg(found, "roc", alt)
    return Figure(
        "roc",
        "ROC",
        f"Of {of}: the share of fakes found against the share of reals lost, at every threshold. "
        f"Dashed: chance. {_which(lines, scores)}",
        alt,
        drawing,
        points.select(["generator", "threshold", "fpr", "tpr"]),
        _legend(lines, scores),
    )


def precision_recall(
    points: "pa.Table",
    scores: Mapping[str, float | None],
    chance: Mapping[str, float | None],
    of: str,
) -> Figure:
    """Precision against recall. `scores`: generator -> AP; `chance`: that of guessing."""
    lines = _lines(points, scores)
    with plot.drawing(height=plot.WIDTH * 0.86) as (found, (axes,)):
        for name, colour in zip(lines, plot.LINES, strict=False):
            if (level := chance.get(name)) is not None:
                axes.axhline(level, color=colour, linewidth=0.8, linestyle=(0, (3, 3)))
        for colour, rows in zip(plot.LINES, lines.values(), strict=False):
            axes.plot(_column(rows, "tpr"), _column(rows, "precision"), color=colour)
        plot.unit_axes(axes, "recall: fakes called fake", "precision")
        alt = _alt("Curves of precision against recall", of, lines, scores, "AP")
        drawing = plot.svg(found, "pr", alt)
    return Figure(
        "precision-recall",
        "Precision and recall",
        f"Of {of}: how many of those called fake are, against the share of fakes found. "
        f"Dashed: the average precision of guessing, which is the share of fakes. "
        f"{_which(lines, scores)}",
        alt,
        drawing,
        points.select(["generator", "threshold", "tpr", "precision"]),
        _legend(lines, scores),
    )


def calibration(bins: "pa.Table", of: str, ece: str) -> Figure:
    """Is it right as often as it says? `bins`: of the query calibration; `ece`: in words."""
    rows = bins.to_pylist()
    with plot.drawing(
        2, height=plot.WIDTH * 0.86, sharex=True, gridspec_kw={"height_ratios": (4, 1)}
    ) as (found, (axes, below)):
        axes.plot([0, 1], [0, 1], color=plot.QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
        said, share = _column(rows, "probability"), _column(rows, "fake_share")
        axes.plot(said, share, color=plot.LINES[0], marker="o", markersize=4)
        plot.unit_axes(axes, "", "share of fakes")
        widths = [row["bin_to"] - row["bin_from"] for row in rows]
        below.bar(
            _column(rows, "bin_from"),
            _column(rows, "n"),
            width=[0.94 * one for one in widths],
            align="edge",
            color=plot.LINES[0],
            alpha=0.45,
        )
        below.set(xlabel="probability of fake, as the method says", ylabel="images")
        below.locator_params(axis="y", nbins=2)
        total = sum(_column(rows, "n"))
        alt = (
            f"Calibration of {of} over {total:,} predictions: "
            + "; ".join(
                f"said {row['probability']:.2f}, fake {row['fake_share']:.2f}" for row in rows
            )
            + "."
        )
        drawing = plot.svg(found, "calibration", alt)
    return Figure(
        "calibration",
        "Calibration",
        f"Of {of}, in ten bins of its probability: the share of fakes among the images of a bin, "
        f"and how many these are. Dashed: right as often as it says. {ece}",
        alt,
        drawing,
        bins.select(["bin_from", "bin_to", "n", "probability", "fake_share"]),
    )


def _lines(
    points: "pa.Table", scores: Mapping[str, float | None]
) -> dict[str, list[dict[str, Any]]]:
    lines: dict[str, list[dict[str, Any]]] = {name: [] for name in drawn(scores)}
    for row in points.to_pylist():
        if row["generator"] in lines:
            lines[row["generator"]].append(row)
    return {name: rows for name, rows in lines.items() if rows}


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _legend(lines: Mapping[str, Any], scores: Mapping[str, float | None]) -> list[plot.Mark]:
    return [
        plot.mark(f"{name or '(none)'} {_digits(scores[name])}", colour)
        for name, colour in zip(lines, plot.LINES, strict=False)
    ]


def _alt(
    what: str, of: str, lines: Mapping[str, Any], scores: Mapping[str, float | None], kind: str
) -> str:
    each = ", ".join(f"{name or '(none)'} {_digits(scores[name])}" for name in lines)
    return f"{what} of {of}, by tested generator; {kind}: {each}."


def _which(lines: Mapping[str, Any], scores: Mapping[str, float | None]) -> str:
    if len(scores) <= DRAWN:
        return ""
    return (
        f"Drawn are {len(lines)} of {len(scores)} generators, those with the lowest and the "
        "highest figures; the data has all. "
    )


def _digits(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"
