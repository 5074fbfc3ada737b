"""What perturbations do to each method: a row a method, a column a variant of the test images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.corpus.variants import order
from pipeline.head.figures.wording import digits, generator_name
from pipeline.output.table import folded, lines

_FIGURES = {"ap": "average precision", "accuracy": "accuracy at 0.5"}
Row = Mapping[str, Any]


def robustness_lines(
    rows: Sequence[Row], by_generator: bool, width: int | None = None
) -> Iterator[str]:
    """Both figures as tables of `robustness`, with what must be known to read them.

    `width`: the columns of a terminal, as in `pipeline.output.table`.
    """
    for figure, words in _FIGURES.items():
        table = robustness(rows, figure, by_generator)
        names = table["generator"].unique().to_pylist()
        of = ""
        if len(names) == 1:  # said once
            of, table = f", {names[0]}", table.drop_columns("generator")
        if figure == "ap" and (chance := _chance(rows, names)):
            of += f" ({chance} by chance)"
        said = f"{words}{of}: on clean images, then in each variant with its change"
        yield from folded(said, width, later="  ")
        yield from lines(table, width)
    if any(row.get("ap_less_clean_low") is not None for row in rows):
        said = "~: the change's 95 % interval holds 0; the same images in every variant"
        yield from folded(said, width, later="  ")


def _chance(rows: Sequence[Row], names: list[str]) -> str:
    """The AP of guessing, of the shown generators: images are the same in every variant."""
    found = {generator_name(row): digits(row["chance"]) for row in rows}
    if len(names) == 1:
        return found[names[0]] or ""
    return ", ".join(f"{name} {found[name]}" for name in names if found[name])


def robustness(rows: Sequence[Row], figure: str, by_generator: bool = False) -> pa.Table:
    """A row a method, generator and configuration (where runs differ), a column a variant.

    `rows`: those of METRICS or OVER_SEEDS, in order. Of each method the mean over the unseen
    generators; `by_generator`, or where there is no such mean, a row each generator as well.
    """
    if not by_generator and any(row["scope"] == "mean" for row in rows):
        rows = [row for row in rows if row["scope"] == "mean"]
    lines: dict[tuple[str, str, str], dict[str, str | None]] = {}
    for row in rows:
        # in METRICS it is all that is not at its default
        configuration = row["configuration"] if "ap_std" in row else ""
        key = (configuration, row["method"], generator_name(row))
        lines.setdefault(key, {})[row["variant"]] = _cell(row, figure)
    columns: dict[str, list[str | None]] = {
        name: [key[place] for key in lines]
        for place, name in enumerate(("configuration", "method", "generator"))
    }
    if not any(columns["configuration"]):
        del columns["configuration"]
    for variant in order(row["variant"] for row in rows):
        columns[variant] = [cells.get(variant) for cells in lines.values()]
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _cell(row: Row, figure: str) -> str | None:
    """Such as `0.912 -.026`, or `0.935 -.003~` where the interval of the change holds 0."""
    change = row[f"{figure}_less_clean"]
    if change is None:
        return digits(row[figure])
    low, high = (row.get(f"{figure}_less_clean_{end}") for end in ("low", "high"))
    unsure = "~" if low is not None and high is not None and low <= 0 <= high else ""
    return f"{digits(row[figure])} {digits(change, '+').replace('0.', '.', 1)}{unsure}"
