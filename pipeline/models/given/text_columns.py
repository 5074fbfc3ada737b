"""Columns of text in a user's file: CSV, TSV, JSON lines or Parquet, whichever its name ends in."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import UserError, nearest

_HINT = "it must be CSV, TSV or JSON lines in UTF-8, or Parquet, whichever its name ends in"
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".jsonl", ".jsonl.gz", ".ndjson")


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
    names = _names(path, what)
    for role, name in wanted.items():
        if name not in names:
            raise UserError(
                f"the {what} file has no column '{name}'",
                f"{path} (`{role}: {name}`)",
                nearest(name, names),
            )


def read(path: Path, columns: Sequence[str], what: str) -> list[pa.LargeStringArray]:
    """Columns as text; UserError for a file that is damaged or holds something else."""
    import pyarrow.json
    import pyarrow.parquet as pq
    from pyarrow import csv

    kinds = dict.fromkeys(columns, pa.string())
    try:
        if kind(path) == "parquet":
            table = pq.read_table(path, columns=list(columns))
        elif kind(path) in ("csv", "tsv"):
            convert = csv.ConvertOptions(include_columns=list(columns), column_types=kinds)
            table = csv.read_csv(path, parse_options=_cells(path), convert_options=convert)
        else:
            parse = pyarrow.json.ParseOptions(
                explicit_schema=pa.schema(kinds), unexpected_field_behavior="ignore"
            )
            with pa.input_stream(path) as opened:
                table = pyarrow.json.read_json(opened, parse_options=parse)
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise unreadable(path, what, problem) from problem
    return [_text(table[name], name, path) for name in columns]


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
    if not (pa.types.is_string(held) or pa.types.is_large_string(held)):
        raise UserError(f"the column '{name}' holds {held}, not text", str(path))
    return column.cast(pa.large_string()).combine_chunks()


def _names(path: Path, what: str) -> list[str]:
    import pyarrow.parquet as pq
    from pyarrow import csv

    try:
        if kind(path) == "parquet":
            return pq.read_schema(path).names
        if kind(path) in ("csv", "tsv"):
            with csv.open_csv(path, parse_options=_cells(path)) as opened:
                return opened.schema.names
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as opened:
            return list(json.loads(opened.readline()))
    except (pa.ArrowException, OSError, ValueError, TypeError) as problem:
        raise unreadable(path, what, problem) from problem


def _cells(path: Path) -> Any:
    from pyarrow import csv

    comma = "\t" if kind(path) == "tsv" else ","
    return csv.ParseOptions(delimiter=comma, newlines_in_values=True)
