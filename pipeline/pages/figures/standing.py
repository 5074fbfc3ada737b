"""Where one image's cosines stand among those of all reals and fakes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.pages.figures import plot
from pipeline.pages.figures.distributions import LEVELS, histogram
from pipeline.pages.figures.plot import Figure

if TYPE_CHECKING:
    import pyarrow as pa


def standing(bins: "pa.Table", own: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The distributions, global above local, with a line at the image's cosine.

    `bins`: level, bin_from, bin_to, reals, fakes, real_share, fake_share, by level and bin. `own`:
    level -> the image's row of the query image_ranks.
    """
    import pyarrow as pa

    rows = bins.to_pylist()
    levels = [level for level in LEVELS if level in own]
    with plot.drawing(len(levels), height=1.9 * len(levels)) as (found, all_):
        for level, axes in zip(levels, all_, strict=True):
            histogram(axes, [row for row in rows if row["level"] == level], level)
            axes.set_ylim(top=1.2 * axes.get_ylim()[1])  # room for the line's number
            cosine = own[level]["cosine"]
            axes.axvline(cosine, color=plot.INK, linewidth=1.3)
            right = cosine > sum(axes.get_xlim()) / 2
            axes.annotate(
                f"{cosine:.3f}",
                (cosine, 1),
                (-4 if right else 4, -1),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="right" if right else "left",
                va="top",
            )
        said = "; ".join(_words(level, own[level]) for level in levels)
        alt = f"Distributions of the cosines of reals and fakes, with those of this image: {said}."
        drawing = plot.svg(found, "standing", alt)
    image = [own.get(row["level"], {}) for row in rows]
    data = bins
    for name in ("cosine", "distance"):
        column = pa.array([one.get(name) for one in image], pa.float64())
        data = data.append_column(f"{name}_of_image", column)
    many = {kind: max((own[level][kind] for level in levels), default=0) for kind in _KINDS}
    return Figure(
        "standing",
        "Among all reals and fakes",
        f"Clean images with one known label. Upright: this image, {said}.",
        alt,
        drawing,
        data,
        [
            *(plot.mark(f"{kind} ({many[kind]:,})", colour) for kind, colour in _KINDS.items()),
            plot.mark("this image", plot.INK),
        ],
    )


_KINDS = {"reals": plot.REAL, "fakes": plot.FAKE}


def _words(level: str, row: Mapping[str, Any]) -> str:
    above = [
        f"{row[f'among_{kind}']:.1%} of the {kind}"
        for kind in _KINDS
        if row[f"among_{kind}"] is not None
    ]
    said = f"{level} cosine {row['cosine']:.3f} (distance {row['distance']:.3f})"
    return f"{said}, above that of {' and '.join(above)}" if above else said
