"""The cells of a CSV (RFC 4180) or TSV, quoted or not, of whatever length."""

import csv
import gzip
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a caption has no length that is too much


def opened(path: Path) -> IO[str]:
    """The file's text, UTF-8 with or without a mark; `.gz` is unpacked."""
    packed = path.suffix.lower() == ".gz"
    return (gzip.open if packed else open)(path, "rt", encoding="utf-8-sig", newline="")


def header(path: Path) -> list[str]:
    """The names in the first line, and no more is read; ValueError where there is none."""
    with closing(_table(path, not _is_tsv(path))) as rows:
        return next(rows)[1]


def rows(path: Path, columns: Sequence[str]) -> Iterator[Sequence[str]]:
    """The cells of some columns, row by row; ValueError with the line that is damaged.

    In a CSV a quote that begins a cell must end it. Tab-separated values know no quotes by their
    definition (IANA), yet many programs write them: they are read as quotes where all of them are
    in pairs around cells, and where no cell that they make holds what looks like rows.
    """
    found = _table(path, _quoted(path))
    _, names = next(found)
    places = [names.index(name) for name in columns]
    for line, row in found:
        if len(row) != len(names):
            raise ValueError(f"line {line:,} has {len(row)} cells, and the first {len(names)}")
        yield [row[place] for place in places]


def _table(path: Path, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each line but empty ones, the names first."""
    tabs = _is_tsv(path)
    with opened(path) as lines:
        reader = csv.reader(
            lines,
            delimiter="\t" if tabs else ",",
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            strict=True,
        )
        empty = True
        try:
            for row in reader:
                if row:
                    empty = False
                    yield reader.line_num, row if quoted else [_without_quotes(one) for one in row]
        except csv.Error as problem:
            raise ValueError(f"line {reader.line_num:,}: {problem}") from problem
        if empty:
            raise ValueError("it is empty")


def _quoted(path: Path) -> bool:
    if not _is_tsv(path):
        return True
    try:
        with closing(_table(path, True)) as rows:
            return not any("\t" in cell and "\n" in cell for _, row in rows for cell in row)
    except ValueError:
        return False


def _without_quotes(cell: str) -> str:
    inside = cell[1:-1]
    whole = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside.replace('""', "")
    return inside.replace('""', '"') if whole else cell


def _is_tsv(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".tsv")
