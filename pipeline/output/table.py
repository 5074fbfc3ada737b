"""The one printer of tables: a line a row, and on a terminal as many columns as it has room for.

rich measures (characters of two columns, and of none), knows the terminal, and colours it. The
layout is our own, because rich's tables take fifty times as long, which a pipe with a million rows
would wait for, and break numbers where they run out of room.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, TYPE_CHECKING

from rich.cells import cell_len, chop_cells

from pipeline.errors import visible
from pipeline.output.values import cell, rows

if TYPE_CHECKING:
    import pyarrow as pa

TERMINAL_ROWS = 1_000  # more of them nobody reads on a screen
_GAP = "  "
_SHORT = 12  # columns that prose has at least
_KEY = 40  # columns of a word that is copied, such as an image_id, and stays whole
_NARROW = 24  # columns that a text can do with, going on in further lines
# a figure, with its interval or deviation: broken, it would be another one
_FIGURE = re.compile(r"[-+±~*<>≤≥%.,:/()\[\]\d ]*|nan|-?inf")


@dataclass(frozen=True)
class _Column:
    name: str
    cells: list[str]
    right: bool  # where the cells stand
    natural: int  # columns that everything takes
    least: int  # and what it can do with


def width_of(stream: IO[str]) -> int | None:
    """The columns of a terminal; None where the stream is no terminal, and nothing is wrapped."""
    if not stream.isatty():
        return None
    from rich.console import Console

    return Console(file=stream).width


def lines(
    table: "pa.Table", width: int | None = None, first: Sequence[str] = (), count: bool = True
) -> Iterator[str]:
    """The table as aligned lines: a header, a rule, a row a line, and how many rows there are.

    Without a `width` everything is there, a row a line. With one, texts are folded, figures never
    are, and columns for which there is no room are left out and named: those come in that are
    named in `first`, then the others from the left.
    """
    columns = _columns(table)
    chosen = columns if width is None else _chosen(columns, width, first)
    widths = [one.natural for one in chosen] if width is None else _widths(chosen, width)
    yield from _row([one.name for one in chosen], chosen, widths)
    yield _GAP.join("-" * n for n in widths)
    for row in zip(*(one.cells for one in chosen), strict=True):
        yield from _row(row, chosen, widths)
    if count:
        yield _count(table)
    if out := [one.name for one in columns if one not in chosen]:
        said = f"left out at this width: {', '.join(out)} (a wider window or a pipe shows all)"
        yield from folded(said, width)


def folded(text: str, width: int | None, first: str = "", later: str = "") -> list[str]:
    """A text in lines of `width` columns, broken at spaces alone; one line without a width.

    `first` stands before its first line, `later` before the others.
    """
    if width is None:
        return [f"{first}{text}"]
    room = max(_SHORT, width - max(cell_len(first), cell_len(later)))
    words = text.replace(" %", "\u00a0%")  # a number stays with its sign
    found = _fold(words, room, chop=False) or [""]
    marks = [first, *[later] * (len(found) - 1)]
    return [
        f"{mark}{line}".replace("\u00a0%", " %") for mark, line in zip(marks, found, strict=True)
    ]


def show(table: "pa.Table", stream: IO[str], first: Sequence[str] = (), count: bool = True) -> None:
    """Prints a table to a stream: to a terminal in its width, the first thousand rows of it."""
    width = width_of(stream)
    if width is None:
        for line in lines(table, count=count):
            stream.write(f"{line}\n")
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream)
    style = "bold"
    for line in lines(table.slice(0, TERMINAL_ROWS), width, first, count=False):
        rule = bool(line) and not line.strip("- ")
        console.print(Text(line, style="dim" if rule else style), soft_wrap=True)
        style = "" if rule else style
    hidden = table.num_rows > TERMINAL_ROWS
    more = f": the first {TERMINAL_ROWS:,} shown; --out FILE gives all" if hidden else ""
    if count or hidden:
        console.print(Text(f"{_count(table)}{more}"), soft_wrap=True)


def _count(table: "pa.Table") -> str:
    return f"({table.num_rows:,} row{'' if table.num_rows == 1 else 's'})"


def _columns(table: "pa.Table") -> list[_Column]:
    found = []
    values = zip(*rows(table), strict=True) if table.num_rows else [()] * table.num_columns
    for field, column in zip(table.schema, values, strict=True):
        name = visible(field.name).replace("\n", "\\n")
        cells = [cell(value) for value in column]
        words = max((_length(word) for word in name.split()), default=0)
        content = max(map(_length, cells), default=0)
        natural = max(_length(name), content)
        fixed = is_number(field.type) or all(map(_FIGURE.fullmatch, cells))
        fixed = fixed or (content <= _KEY and not any(" " in text for text in cells))
        least = max(words, content if fixed else min(content, _NARROW))
        found.append(_Column(name, cells, is_number(field.type), natural, least))
    return found


def is_number(kind: "pa.DataType") -> bool:
    """Whether cells of this type are numbers, which stand at the right."""
    import pyarrow.types as types

    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


@lru_cache(maxsize=4_096)
def _length(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _chosen(columns: list[_Column], width: int, first: Sequence[str]) -> list[_Column]:
    """Those for which there is room, in their own order; the first to choose is always there."""
    taken: list[_Column] = []
    room = width
    for one in sorted(columns, key=lambda one: one.name not in first):
        needs = one.least + (len(_GAP) if taken else 0)
        if not taken or needs <= room:
            taken.append(one)
            room -= needs
    return [one for one in columns if any(one is other for other in taken)]


def _widths(chosen: list[_Column], width: int) -> list[int]:
    """What each column gets: the least, and of the room that is left what it still needs."""
    widths = [min(one.least, width) for one in chosen]
    room = width - sum(widths) - len(_GAP) * (len(chosen) - 1)
    for at in sorted(range(len(chosen)), key=lambda at: chosen[at].natural - widths[at]):
        more = max(0, min(chosen[at].natural - widths[at], room))
        widths[at] += more
        room -= more
    return widths


def _row(texts: Sequence[str], columns: list[_Column], widths: list[int]) -> Iterator[str]:
    """The lines of a row; mostly one."""
    folds = [
        [text] if _length(text) <= n else _fold(text, n)
        for text, n in zip(texts, widths, strict=True)
    ]
    for number in range(max(map(len, folds), default=0)):
        parts = []
        for fold, column, n in zip(folds, columns, widths, strict=True):
            text = fold[number] if number < len(fold) else ""
            space = " " * (n - _length(text))
            parts.append(f"{space}{text}" if column.right else f"{text}{space}")
        yield _GAP.join(parts).rstrip()


def _fold(text: str, width: int, chop: bool = True) -> list[str]:
    """Lines of at most `width` columns: broken at spaces, and words that are longer anywhere.

    Unless `chop`, these stay whole: a path is copied from there.
    """
    found: list[str] = []
    line = ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if _length(joined) <= width:
            line = joined
            continue
        if line:
            found.append(line)
        *whole, line = (chop_cells(word, width) or [""]) if chop else [word]
        found += whole
    return [*found, line] if line else found
