"""Query results on their way out: a readable table, CSV, JSON or Parquet."""

import csv
import io
import json
import math
import os
import sys
import textwrap
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pipeline.errors import UserError, nearest, visible

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("table", "csv", "json", "parquet")

_TERMINAL_ROWS = 1_000  # a terminal table is laid out in memory; the other formats have no limit
_CELL = 60  # characters in a plain-text cell before it goes on in the next line
_BATCH = 8_192  # rows turned into Python values at a time
_ABSENT = "-"


def write(table: "pa.Table", format: str, stream: IO[Any]) -> None:
    """Writes `table` to `stream` as one of FORMATS.

    `stream` may be a text stream such as sys.stdout (Parquet then goes to its binary buffer) or a
    binary one such as an opened file. `table`: rich on a terminal, aligned plain text elsewhere;
    long text is folded, what a terminal would obey is an escape, null is `-`, a long vector is its
    first values and its length. `csv`: with a header, null is empty, lists are JSON. `json`: an
    array of one object a row; NaN, infinity and null are null, dates are ISO 8601, decimals are
    numbers.
    Raises UserError for an unknown format, and for Parquet on a terminal.
    """
    if format not in FORMATS:
        raise UserError(f"there is no format '{format}'", hint=nearest(format, FORMATS))
    if format == "parquet":
        _parquet(table, stream)
        return
    if not isinstance(stream, io.TextIOBase):
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        try:
            write(table, format, text)
        finally:
            text.detach()  # the stream stays open: it is the caller's
        return
    {"csv": _csv, "json": _json, "table": _table}[format](table, stream)
    stream.flush()


def deliver(table: "pa.Table", format: str, out: Path | None = None) -> None:
    """Writes `table` to the file `out` (complete or not at all), or to standard output.

    Raises UserError when the file cannot be written. A reader that stops early (`| head`) is fine.
    """
    if out is None:
        try:
            write(table, format, sys.stdout)
        except BrokenPipeError:  # what is still buffered must not fail again when Python exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            write(table, format, stream)
        temporary.replace(out)
    except OSError as error:
        raise UserError(
            f"the answer cannot be written: {error.strerror or error}",
            where=str(out),
            hint="give --out a path in a folder that exists and can be written",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _parquet(table: "pa.Table", stream: IO[Any]) -> None:
    import pyarrow.parquet as pq

    if stream.isatty():
        raise UserError(
            "Parquet is not for reading on a terminal",
            hint="give a file with --out FILE, or send the output into one with > FILE",
        )
    binary = getattr(stream, "buffer", stream)
    pq.write_table(table, binary, compression="zstd")
    binary.flush()


def _csv(table: "pa.Table", stream: IO[str]) -> None:
    writer = csv.writer(_Lines(stream))  # its own ends of lines have both that need quoting
    writer.writerow(table.column_names)
    for row in _rows(table):
        writer.writerow([_csv_value(value) for value in row])


class _Lines:
    """Ends lines as everything else here does."""

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def write(self, line: str) -> None:
        self._stream.write(line.removesuffix("\r\n") + "\n")


def _csv_value(value: Any) -> Any:
    plain = _plain(value, keep_nan=True)
    if isinstance(plain, (list, dict)):
        return json.dumps(_plain(value), ensure_ascii=False)
    return plain


def _json(table: "pa.Table", stream: IO[str]) -> None:
    stream.write("[")
    for number, row in enumerate(_rows(table)):
        stream.write(",\n " if number else "\n ")
        values = (_plain(value) for value in row)
        record = dict(zip(_unique(table.column_names), values, strict=True))
        stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False))
    stream.write("\n]\n" if table.num_rows else "]\n")


def _unique(names: list[str]) -> list[str]:
    """SQL may give two columns one name; in a JSON object the second would hide the first."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


def _rows(table: "pa.Table") -> Iterator[tuple[Any, ...]]:
    for batch in table.to_batches(max_chunksize=_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _plain(value: Any, keep_nan: bool = False) -> Any:
    """A value as JSON knows it: None, bool, int, finite float, str, list or dict."""
    if isinstance(value, float):
        return value if keep_nan or math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):  # a calendar interval, or a map's (key, value)
        return str(value) if hasattr(value, "_fields") else [_plain(item) for item in value]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, (bool, int, str, type(None))) else str(value)


def _cell(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list) and len(value) > 4 and isinstance(value[0], float):
        start = ", ".join(_cell(item) for item in value[:3])
        return f"[{start}, … {len(value)} values]"
    plain = _plain(value)
    if plain is None:
        return _ABSENT
    if isinstance(plain, (list, dict)):
        return visible(json.dumps(plain, ensure_ascii=False))
    if isinstance(plain, float):
        return _number(plain)
    return str(plain).lower() if isinstance(plain, bool) else visible(str(plain))


def _number(value: float) -> str:
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    size = abs(value)
    if size < 1e-3 or size >= 1e9:
        return f"{value:.3e}"
    return f"{value:.4f}" if size < 1e3 else f"{value:.1f}"


def _is_number(kind: "pa.DataType") -> bool:
    import pyarrow.types as types

    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _table(table: "pa.Table", stream: IO[str]) -> None:
    if stream.isatty():
        _rich(table, stream)
        return
    right = [_is_number(field.type) for field in table.schema]
    rows = [[_fold(_cell(value)) for value in row] for row in _rows(table)]
    header = [[visible(name)] for name in table.column_names]
    widths = [
        max((len(line) for row in [header, *rows] for line in row[column]), default=0)
        for column in range(table.num_columns)
    ]
    _lines(header, widths, right, stream)
    stream.write("  ".join("-" * width for width in widths).rstrip() + "\n")
    for row in rows:
        _lines(row, widths, right, stream)
    stream.write(_count(table.num_rows) + "\n")


def _fold(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, _CELL, break_on_hyphens=False) or [""]
    return lines


def _lines(row: list[list[str]], widths: list[int], right: list[bool], stream: IO[str]) -> None:
    for number in range(max((len(cell) for cell in row), default=0)):
        texts = [cell[number] if number < len(cell) else "" for cell in row]
        cells = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(texts, widths, right, strict=True)
        ]
        stream.write("  ".join(cells).rstrip() + "\n")


def _rich(table: "pa.Table", stream: IO[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    for field in table.schema:
        side = "right" if _is_number(field.type) else "left"
        grid.add_column(Text(visible(field.name)), justify=side, overflow="fold")
    for row in _rows(table.slice(0, _TERMINAL_ROWS)):
        grid.add_row(*(Text(_cell(value)) for value in row))  # Text: no markup in captions
    console = Console(file=stream)
    console.print(grid)
    hidden = table.num_rows - _TERMINAL_ROWS
    note = f": the first {_TERMINAL_ROWS:,} shown; --format csv gives all" if hidden > 0 else ""
    console.print(Text(_count(table.num_rows) + note))


def _count(rows: int) -> str:
    return f"({rows:,} row{'' if rows == 1 else 's'})"
