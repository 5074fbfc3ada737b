"""Tables on their way out: for reading, or as CSV, JSON, Parquet, Markdown."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pipeline.errors import UserError, nearest
from pipeline.output import markdown
from pipeline.output.table import is_number, show
from pipeline.output.values import cell, plain, rows, unique

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = {
    ".csv": "csv",
    ".json": "json",
    ".md": "md",
    ".parquet": "parquet",
    ".txt": "table",
}
FORMATS = ("table", *sorted(set(SUFFIXES.values()) - {"table"}))


def chosen(format: str | None, out: Path | None) -> str:
    """The format of an answer: the given one, else that of the file's suffix, else a table.

    UserError for an unknown format or suffix, and where the two disagree.
    """
    if format is not None and format not in FORMATS:
        raise UserError(f"there is no format '{format}'", "--format", nearest(format, FORMATS))
    if out is None:
        return format or "table"
    of_file = SUFFIXES.get(out.suffix.lower())
    if of_file is None and format is None:
        raise UserError(
            f"the suffix '{out.suffix}' names no format",
            str(out),
            f"write one of {', '.join(SUFFIXES)}, or give --format {'|'.join(FORMATS)}",
        )
    if of_file and format and of_file != format:
        raise UserError(
            f"--format {format} and the suffix of the file disagree",
            str(out),
            "leave --format out, or give the file another suffix",
        )
    return str(format or of_file)


def write(table: "pa.Table", format: str, stream: IO[Any]) -> None:
    """Writes `table` to `stream` as one of FORMATS.

    `stream` may be a text stream such as sys.stdout (Parquet then goes to its binary buffer) or a
    binary one such as an opened file. `table`: see `pipeline.output.table`; null is `-`, a long
    vector is its first values and its length. `csv`: with a header, null is empty, lists are JSON.
    `json`: an array of one object a row; NaN, infinity and null are null, moments are ISO 8601,
    decimals are numbers. `md`: a Markdown table of what `table` shows. Raises UserError for Parquet
    on a terminal, and for what Parquet has no type for.
    """
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
    {"csv": _csv, "json": _json, "md": _markdown, "table": show}[format](table, stream)
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
        if out.exists() and not out.is_file():  # a pipe, /dev/null: no file to put another for
            with out.open("wb") as stream:
                write(table, format, stream)
            return
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


def json_rows(table: "pa.Table") -> Iterator[str]:
    """Each row as a JSON object, in a line of its own."""
    names = unique(table.column_names)
    for row in rows(table):
        record = dict(zip(names, map(plain, row), strict=True))
        yield json.dumps(record, ensure_ascii=False, allow_nan=False)


def _parquet(table: "pa.Table", stream: IO[Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if stream.isatty():
        raise UserError(
            "Parquet is not for reading on a terminal",
            hint="give a file with --out FILE, or send the output into one with > FILE",
        )
    whole = io.BytesIO() if not stream.seekable() else getattr(stream, "buffer", stream)
    try:
        pq.write_table(table, whole, compression="zstd")
    except pa.ArrowException as error:
        raise UserError(
            f"Parquet cannot hold this: {str(error).splitlines()[0]}",
            hint="cast the column in SQL, as `column::varchar`, or choose another format",
        ) from None
    binary = getattr(stream, "buffer", stream)
    if whole is not binary:
        binary.write(whole.getvalue())
    binary.flush()


def _csv(table: "pa.Table", stream: IO[str]) -> None:
    writer = csv.writer(_Lines(stream))  # its own ends of lines have both that need quoting
    writer.writerow(table.column_names)
    for row in rows(table):
        writer.writerow([_csv_value(value) for value in row])


class _Lines:
    """Ends lines as everything else here does."""

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def write(self, line: str) -> None:
        self._stream.write(line.removesuffix("\r\n") + "\n")


def _csv_value(value: Any) -> Any:
    found = plain(value, keep_nan=True)
    if isinstance(found, (list, dict)):
        return json.dumps(plain(value), ensure_ascii=False)
    return found


def _json(table: "pa.Table", stream: IO[str]) -> None:
    stream.write("[")
    for number, row in enumerate(json_rows(table)):
        stream.write(",\n " if number else "\n ")
        stream.write(row)
    stream.write("\n]\n" if table.num_rows else "]\n")


def _markdown(table: "pa.Table", stream: IO[str]) -> None:
    right = [is_number(field.type) for field in table.schema]
    cells = [[cell(value) for value in row] for row in rows(table)]
    stream.write(markdown.table(table.column_names, cells, right) + "\n")
