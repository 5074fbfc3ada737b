"""One part's file: Parquet that says what it is, and proves that it is whole.

Beside Parquet's page checksums, which any reader may verify, the footer holds a CRC-32 of every
column chunk and of itself, so that a flipped bit anywhere is seen, in page headers and in the
footer too. What is read is verified: the footer always, chunks when their columns are read.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO
from uuid import uuid4
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import tables

_META = "item."
_SUMS = re.compile(rb"sums:((?:[0-9a-f]{8})+):")  # of each chunk, and in the end of the footer
_MAGIC, _TAIL = b"PAR1", 8  # behind the footer: its length in four bytes, and the magic
_ROWS_OF_VECTORS, _ROWS = 8192, 131072  # in a row group


class Damaged(ValueError):
    """A part's file is not what was written, or not of the place where it lies."""


@dataclass(frozen=True)
class Chunk:
    """Where a column lies in a row group: bytes of the file, and their CRC-32."""

    column: str
    start: int
    size: int
    crc: bytes  # 8 hex digits


def content(table: pa.Table) -> str:
    """16 hex digits that follow a table's rows: two tables of equal rows have the same."""
    digest = sha256()
    table = table.take(pa.array(range(len(table)), pa.int64()))  # a slice has its neighbours' bits
    plain = pa.table(
        {
            **{name: _without_nulls(table[name]) for name in table.column_names},
            **{f"{name} is there": table[name].is_valid() for name in table.column_names},
        }
    ).combine_chunks()
    with pa.ipc.new_stream(pa.PythonFile(_Hashing(digest), "w"), plain.schema) as stream:
        stream.write_table(plain)
    return digest.hexdigest()[:16]


def _without_nulls(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """The column with something that is always the same in the place of nulls."""
    if pa.types.is_fixed_size_list(column.type):
        return tables.vectors(tables.matrix(column)[0])
    zero = "" if pa.types.is_string(column.type) else 0
    return column.fill_null(pa.scalar(zero).cast(column.type))


class _Hashing:
    """A file that keeps nothing of what is written to it but a digest."""

    closed = False

    def __init__(self, digest: Any):
        self.write = digest.update

    def flush(self) -> None: ...


def write(path: Path, table: pa.Table, facts: Mapping[str, Any], durable: bool = True) -> int:
    """Writes a part durably and in one step, with its facts; returns its size in bytes.

    `seconds_write` is among the facts unless it is given. What is not `durable` may be gone, or
    Damaged, after a power cut: it costs no wait for the disk. OSError when it cannot be written;
    then nothing is there.
    """
    lists = [f.name for f in table.schema if pa.types.is_fixed_size_list(f.type)]
    scalars = [name for name in table.column_names if name not in lists]
    # float16 vectors: plain (DuckDB reads no other encoding), and they do not compress
    compression = dict.fromkeys(scalars, "zstd")
    compression |= {f"{vector}.list.element": "none" for vector in lists}
    rows = _ROWS_OF_VECTORS if lists else _ROWS
    chunks = max(1, ceil(table.num_rows / rows)) * table.num_columns
    blank = f"sums:{'0' * 8 * (chunks + 1)}:"
    temporary = path.with_name(f".tmp-{uuid4().hex[:12]}-{path.name}")
    started = perf_counter()
    try:
        with pq.ParquetWriter(
            temporary,
            table.schema,
            use_dictionary=scalars,
            compression=compression,
            write_page_checksum=True,
        ) as writer:
            writer.write_table(table, row_group_size=rows)
            facts = {"seconds_write": round(perf_counter() - started, 4), **facts}
            pairs = {f"{_META}{key}": str(value) for key, value in facts.items()}
            writer.add_key_value_metadata({**pairs, f"{_META}sums": blank})
        _sum_up(temporary, blank.encode())
        if durable:
            commit(temporary, path)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path.stat().st_size


def _sum_up(path: Path, blank: bytes) -> None:
    """Fills in the checksums of a file that has zeros in their place."""
    with path.open("r+b") as file:
        start, footer = _footer(file)
        place = footer.index(blank)
        sums = b"".join(
            b"%08x" % crc32(_bytes(file, begin, size))
            for _, begin, size in _chunks(pq.read_metadata(path))
        )
        sums = b"sums:" + sums.ljust(len(blank) - 6, b"0") + b":"
        whole = footer[:place] + sums + footer[place + len(blank) :]
        sums = sums[:-9] + b"%08x" % crc32(whole) + b":"
        file.seek(start + place)
        file.write(sums)


def read(path: Path, columns: Collection[str] | None = None) -> tuple[pa.Table, dict[str, str]]:
    """(rows, facts) of a part, of these columns or of all. Damaged unless all are as written."""
    # ParquetFile: three times as fast as pq.read_table, where parts are many and columns few
    with (
        _opened(path) as (file, sums),
        pq.ParquetFile(file, page_checksum_verification=True) as parquet,
    ):
        if lacking := set(columns or ()) - set(parquet.schema_arrow.names):
            raise Damaged(f"it has no column {', '.join(sorted(lacking))}")
        for chunk in _summed(parquet.metadata, sums):
            if columns is None or chunk.column in columns:
                _check(file, chunk)
        names = None if columns is None else list(columns)
        table = parquet.read(columns=names, use_threads=False)
        return table.replace_schema_metadata(None), _facts(parquet.metadata)


def facts(path: Path) -> dict[str, str]:
    """What a part's footer says of it. Damaged unless it is what was written."""
    with _opened(path) as (file, _):
        return _facts(pq.read_metadata(file))


def metadata(path: Path) -> pq.FileMetaData:
    """Parquet's own metadata of a part. Damaged unless the footer is what was written."""
    with _opened(path) as (file, _):
        return pq.read_metadata(file)


def verify(path: Path) -> dict[str, str]:
    """The facts of a part of which every byte was looked at. Damaged unless all are as written."""
    with _opened(path) as (file, sums):
        about = pq.read_metadata(file)
        end = len(_MAGIC)
        if _bytes(file, 0, end) != _MAGIC:
            raise Damaged("it does not begin as Parquet does")
        for chunk in sorted(_summed(about, sums), key=lambda chunk: chunk.start):
            if chunk.start != end:
                raise Damaged(f"bytes {end:,} to {chunk.start:,} belong to nothing")
            _check(file, chunk)
            end = chunk.start + chunk.size
        if end != _footer(file)[0]:
            raise Damaged("there is more in it than its columns")
        return _facts(about)


def _facts(about: pq.FileMetaData) -> dict[str, str]:
    pairs = ((key.decode(), value.decode()) for key, value in (about.metadata or {}).items())
    return {key.removeprefix(_META): value for key, value in pairs if key.startswith(_META)}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bytes]]:
    """(the open file, its checksums), once the footer is known to be whole."""
    try:
        with path.open("rb") as file:
            _, footer = _footer(file)
            found = _SUMS.search(footer)
            if found is None:
                raise Damaged("its footer has no checksums")
            end = found.end(1)
            blank = footer[: end - 8] + b"00000000" + footer[end:]
            if b"%08x" % crc32(blank) != footer[end - 8 : end]:
                raise Damaged("its footer is not what was written")
            file.seek(0)
            yield file, found[1]
    except (pa.ArrowException, OSError) as error:
        raise Damaged(str(error)) from error


def _footer(file: BinaryIO) -> tuple[int, bytes]:
    """(offset, bytes) of the footer."""
    size = file.seek(0, os.SEEK_END)
    tail = _bytes(file, max(0, size - _TAIL), _TAIL)
    length = int.from_bytes(tail[:4], "little")
    start = size - _TAIL - length
    if tail[4:] != _MAGIC or start < len(_MAGIC):
        raise Damaged("it does not end as Parquet does: it was cut off, or is something else")
    return start, _bytes(file, start, length)


def _bytes(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _chunks(about: pq.FileMetaData) -> Iterator[tuple[str, int, int]]:
    """(column, first byte, number of bytes) of each column chunk, in the metadata's order."""
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        for column in range(group.num_columns):
            chunk = group.column(column)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            name = chunk.path_in_schema.partition(".")[0]
            if size := chunk.total_compressed_size:  # of no rows Parquet writes no pages
                yield name, start, size


def _summed(about: pq.FileMetaData, sums: bytes) -> Iterator[Chunk]:
    for number, (column, start, size) in enumerate(_chunks(about)):
        yield Chunk(column, start, size, sums[8 * number : 8 * number + 8])


def _check(file: BinaryIO, chunk: Chunk) -> None:
    if b"%08x" % crc32(_bytes(file, chunk.start, chunk.size)) != chunk.crc:
        raise Damaged(f"its column {chunk.column} is not what was written")


def commit(temporary: Path, path: Path) -> None:
    """Makes the file durable, then visible under its name; then makes the name durable."""
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Brings a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
