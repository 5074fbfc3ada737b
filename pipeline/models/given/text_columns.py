"""Columns of text in a user's file: CSV, TSV, JSON lines or Parquet, whichever its name ends in."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from pipeline.corpus.sources import cells
from pipeline.corpus.sources.objects import json_lines
from pipeline.errors import UserError, nearest, visible

_HINT = "it must be CSV, TSV or JSON lines in UTF-8, or Parquet, whichever its name ends in"
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".jsonl", ".jsonl.gz", ".ndjson")

_BATCH = 65_536  # rows


def check_there(path: Path, what: str) -> tuple[int, int]:
    """Size and time of change of a file that is there: they tell its states.

    UserError that names the nearest file where it is not. `what` says of what it is a file.
    """
    try:
        facts = path.stat()
    except OSError:
        names = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(
            f"there is no such file of {what}", str(path), nearest(path.name, names)
        ) from None
    return facts.st_size, facts.st_mtime_ns


def check_columns(path: Path, what: str, wanted: dict[str, str]) -> None:
    """UserError unless a table has the `wanted` columns, role -> name."""
    names = _names(path, what, set(wanted.values()))
    for role, name in wanted.items():
        if name not in names:
            raise UserError(
                f"the {what} file has no column '{name}'",
                f"{path} (`{role}: {name}`)",
                nearest(name, names),
            )


def read(
    path: Path, columns: Sequence[str], what: str
) -> tuple[list[pa.LargeStringArray], frozenset[int]]:
    """Columns as text, and the rows in which one of them holds halves of characters.

    These stand there as escapes: no text has them, so no image is called that. An object of JSON
    lines without any of the columns is no row. UserError for a file that is damaged or holds
    something else.
    """
    import pyarrow.parquet as pq

    try:
        if kind(path) == "parquet":
            table = pq.read_table(path, columns=list(columns))
            return [_text(table[name], name, path) for name in columns], frozenset()
        of_cells = kind(path) in ("csv", "tsv")
        rows = cells.rows(path, columns) if of_cells else _objects(path, columns)
        return _collected(rows, len(columns))
    except (pa.ArrowException, OSError, EOFError, ValueError) as problem:
        raise unreadable(path, what, problem) from problem


def _collected(
    rows: Iterator[Sequence[str | None]], width: int
) -> tuple[list[pa.LargeStringArray], frozenset[int]]:
    """Rows as columns; a batch of them at a time in Python."""
    odd: set[int] = set()
    pieces: list[list[pa.Array]] = [[pa.array([], pa.large_string())] for _ in range(width)]
    start = 0
    while batch := list(islice(rows, _BATCH)):
        for column, values in zip(pieces, zip(*batch, strict=True), strict=True):
            try:
                column.append(pa.array(values, pa.large_string()))
            except UnicodeEncodeError:
                shown = [value and visible(value) for value in values]
                odd |= {start + i for i, value in enumerate(values) if value != shown[i]}
                column.append(pa.array(shown, pa.large_string()))
        start += len(batch)
    return [pa.concat_arrays(column) for column in pieces], frozenset(odd)


def _objects(path: Path, columns: Sequence[str]) -> Iterator[Sequence[str | None]]:
    """The values of each line's object."""
    for number, found in json_lines(path):
        if found.keys().isdisjoint(columns):
            continue
        values = [found.get(name) for name in columns]
        if not all(value is None or isinstance(value, str) for value in values):
            raise ValueError(f"line {number:,} holds a value that is no text")
        yield values


def kind(path: Path) -> str:
    """What a file's name ends in, without `.gz`."""
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


def unreadable(
    path: Path,
    what: str,
    problem: Exception,
    hint: str = _HINT,
) -> UserError:
    """The error of a file that a library could not read."""
    reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0][:300]
    return UserError(f"the {what} file cannot be read: {reason}", str(path), hint)


def _text(column: pa.ChunkedArray, name: str, path: Path) -> pa.LargeStringArray:
    held = column.type
    held = held.value_type if pa.types.is_dictionary(held) else held
    if held not in (pa.string(), pa.large_string(), pa.string_view()):
        raise UserError(f"the column '{name}' holds {held}, not text", str(path))
    return column.cast(pa.large_string()).combine_chunks()


def _names(path: Path, what: str, wanted: set[str]) -> list[str]:
    """Of columns; of JSON lines those up to the line with which all that are `wanted` were there.

    This is asked by every command: only a file without them is read to its end.
    """
    import pyarrow.parquet as pq

    try:
        if kind(path) == "parquet":
            return pq.read_schema(path).names
        if kind(path) in ("csv", "tsv"):
            return cells.header(path)
        names: dict[str, None] = {}
        for _, found in json_lines(path):
            names |= dict.fromkeys(found)
            if wanted <= names.keys():
                break
        return list(names)
    except (pa.ArrowException, OSError, EOFError, ValueError) as problem:
        raise unreadable(path, what, problem) from problem
