"""The paper's Figure 5: a head on global misalignment, on local, and on both."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.head.figures.wording import generator_name
from pipeline.pages.figures import plot
from pipeline.pages.figures.plot import Figure

METHODS = ("global", "local", "global+local")


def global_local(rows: Sequence[Mapping[str, Any]], name: str, how: str) -> Figure:
    """Average precision of the three heads, a group a tested generator, and the mean of the unseen.

    `rows`: of METRICS or OVER_SEEDS. `name`: of the experiment. `how`: what the bars are.
    """
    import pyarrow as pa

    own = [row for row in rows if row["method"] in METHODS and row["ap"] is not None]
    groups = list(dict.fromkeys(generator_name(row) for row in own))
    place = {group: -at for at, group in enumerate(groups)}
    with plot.drawing(height=1.0 + 0.52 * len(groups)) as (found, (axes,)):
        for row in own:
            at = METHODS.index(row["method"])
            y = place[generator_name(row)] + (1 - at) * 0.22
            low, high = _ends(row)
            if None not in (low, high):
                axes.plot([low, high], [y, y], color=plot.LINES[at], linewidth=1.2, alpha=0.6)
            axes.plot([row["ap"]], [y], color=plot.LINES[at], marker="o", markersize=4.5)
        for group, chance in _chance(own).items():
            at = place[group]
            axes.plot([chance, chance], [at - 0.36, at + 0.36], color=plot.QUIET, linewidth=0.9)
        axes.set_yticks(list(place.values()), [_short(group) for group in groups])
        axes.set_ylim(-len(groups) + 0.4, 0.6)
        axes.set_xlabel("average precision")
        axes.set_xlim(right=1.005)
        axes.grid(True, axis="x")
        plot.literal_text(axes)
        alt = "Average precision. " + "; ".join(
            f"{group}: "
            + ", ".join(
                f"{row['method']} {row['ap']:.3f}" for row in own if generator_name(row) == group
            )
            for group in groups
        )
        drawing = plot.svg(found, f"figure5-{name}", f"{alt}.")
    ends = [_ends(row) for row in own]
    data = {
        "method": [row["method"] for row in own],
        "generator": [generator_name(row) for row in own],
        "ap": [row["ap"] for row in own],
        "low": [low for low, _ in ends],
        "high": [high for _, high in ends],
        "chance": [row["chance"] for row in own],
    }
    return Figure(
        f"figure5-{name}",
        f"Figure 5: {name}",
        f"Average precision of a head on each, by tested generator. Lines: {how}. Grey: chance.",
        f"{alt}.",
        drawing,
        pa.table(data),
        [plot.mark(method, colour) for method, colour in zip(METHODS, plot.LINES, strict=False)],
    )


def _ends(row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    return row["ap_low"], row["ap_high"]


def _chance(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {generator_name(row): row["chance"] for row in rows if row["chance"] is not None}


def _short(text: str, most: int = 22) -> str:
    """A name that leaves room for the figure; the data has it whole."""
    from pipeline.errors import visible

    shown = visible(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
