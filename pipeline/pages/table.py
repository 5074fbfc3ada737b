"""A table of a page: texts to read, and the values that they are sorted by."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.output.values import rows

if TYPE_CHECKING:
    import pyarrow as pa

ABSENT = "\N{EN DASH}"
# a figure with its interval, deviation or change, as head/figures/wording writes it
_FIGURE = re.compile(r"([-+]?(?:\d[\d,]*\.?\d*|\.\d+))(?:\s*%|[*~]|\s*[-+±\[].*|\s*→.*)?")


@dataclass(frozen=True)
class Cell:
    """A `text`, the `key` by which it is sorted, and the verdict that colours it, if any."""

    text: str
    key: float | str
    tone: str = ""
    notes: Sequence[str] = ()  # smaller, below it


@dataclass(frozen=True)
class Table:
    """`columns`: names. `right`: of each column whether it holds figures. `about`: what it says."""

    columns: Sequence[str]
    right: Sequence[bool]
    cells: Sequence[Sequence[Cell]]
    about: str

    @property
    def notes(self) -> bool:
        """Whether any cell has some."""
        return any(cell.notes for row in self.cells for cell in row)


def table_of(
    found: "pa.Table",
    about: str,
    columns: Mapping[str, str] | None = None,
    shown: Mapping[str, Callable[[Any], str]] | None = None,
    tones: Mapping[str, Mapping[str, str]] | None = None,
    notes: Mapping[str, Sequence[Sequence[str]]] | None = None,
) -> Table:
    """The rows of an Arrow table.

    `columns`: those to show, with their headers (default: all, by their names). `shown`: how a
    column's values are written, where the rule (three digits after the point) is not enough.
    `tones`: column -> value -> tone. `notes`: column -> what stands below it, row
    by row.
    """
    chosen = {name: name for name in found.column_names} if columns is None else dict(columns)
    own, tones, below = shown or {}, tones or {}, notes or {}
    cells = [
        [
            _cell(
                value,
                own.get(name, text_of),
                tones.get(name, {}),
                below[name][number] if name in below else (),
            )
            for name, value in zip(chosen, row, strict=True)
        ]
        for number, row in enumerate(rows(found.select(list(chosen))))
    ]
    right = [
        all(isinstance(row[at].key, float) or row[at].text == ABSENT for row in cells)
        for at in range(len(chosen))
    ]
    about = f"{about[:1].upper()}{about[1:]}"
    return Table(list(chosen.values()), right if cells else [False] * len(chosen), cells, about)


def text_of(value: Any) -> str:
    """A value as a person reads it: three digits after the point, thousands apart."""
    if value is None or value == "":
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"
    if isinstance(value, list):
        return ", ".join(map(text_of, value))
    return str(value)


def _cell(
    value: Any, written: Callable[[Any], str], tones: Mapping[str, str], notes: Sequence[str]
) -> Cell:
    text = ABSENT if value is None else written(value).replace(" -> ", " → ")
    key: float | str = text.casefold()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        key = float(value)
    elif found := _FIGURE.fullmatch(text):
        key = float(found[1].replace(",", ""))
    tone = tones.get(value, "") if isinstance(value, str) else ""
    return Cell(text, key, tone, notes)
