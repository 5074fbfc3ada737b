"""Images in a column of a Parquet file: bytes, or `{bytes, path}` as `datasets` writes them.

A cell lies in a page that must be unpacked from its beginning, and pages only follow each other. So
a process keeps a few places in each file, and what it read there last: who asks for rows in their
order reads each page once.
"""

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.corpus.sources.filesystems import filesystem, is_local, opened
from pipeline.corpus.sources.packed.members import Member

_USUAL = ("image", "img", "picture", "jpg", "png", "webp", "bytes")
_KEPT = 2**24  # bytes of cells that one file's places keep
_READ = 2**22  # bytes of cells that are read at a time
_PLACES = 4  # tasks of one process that read one file at the same time


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column holds bytes."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or kind == pa.binary_view()


def image_columns(schema: pa.Schema) -> list[str]:
    """The columns that may hold images, the usual names first."""
    found = [one.name for one in schema if _bytes_of(one) is not None]
    return sorted(found, key=lambda name: (name not in _USUAL, name))


def _bytes_of(column: pa.Field) -> list[str] | None:
    """The way to the bytes: [column], or [column, bytes]; None where it has none."""
    if is_binary(column.type):
        return [column.name]
    if pa.types.is_struct(column.type):
        child = column.type.get_field_index("bytes")
        if child >= 0 and is_binary(column.type.field(child).type):
            return [column.name, "bytes"]
    return None


@dataclass(frozen=True)
class Rows:
    """What a file says beside the bytes: a `path` for each row, where it has one, and columns."""

    count: int
    paths: pa.Array | None
    columns: Mapping[str, pa.Array]


def rows(uri: str, image: str, names: Sequence[str]) -> Rows:
    """The rows of a file, without the bytes of its column `image` ("": none is to be left out).

    OSError, ValueError for a damaged one.
    """
    file, _ = opened(uri)
    with file, pq.ParquetFile(file) as table:
        schema = table.schema_arrow
        there = [name for name in names if name in schema.names and name != image]
        kind = schema.field(image).type if image else pa.null()
        has_path = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
        found = table.read(columns=[*there, *([f"{image}.path"] if has_path else [])])
        if any(len(found[name]) != table.metadata.num_rows for name in found.column_names):
            raise ValueError("its columns are of different lengths")
        found.validate(full=True)  # text that is no UTF-8 would be found out by whoever reads it
        paths = None
        if has_path:
            paths = pc.struct_field(found[image].combine_chunks(), "path").cast(pa.string())
        classes = class_names(schema)
        said = {name: _named(found[name].combine_chunks(), classes.get(name)) for name in there}
        return Rows(table.metadata.num_rows, paths, said)


def schema_of(uri: str) -> pa.Schema:
    """The columns of a file."""
    file, _ = opened(uri)
    with file, pq.ParquetFile(file) as table:
        return table.schema_arrow


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """What the numbers of a `ClassLabel` stand for, column -> names, as `datasets` writes it."""
    try:
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = said["info"]["features"]
        return {
            name: [str(one) for one in about["names"]]
            for name, about in features.items()
            if isinstance(about, dict) and about.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _named(values: pa.Array, names: list[str] | None) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if names is None or not pa.types.is_integer(values.type):
        return values
    known = pc.and_(pc.greater_equal(values, 0), pc.less(values, len(names)))
    return pa.array(names, pa.string()).take(pc.if_else(known, values, None))


def cell(member: Member) -> bytes:
    """The bytes of one image. OSError where its row has none, or the file is damaged."""
    try:
        found = _file(member.archive).cell(member.where["row"], member.where["column"])
    except (pa.ArrowException, IndexError) as error:
        forget()
        raise OSError(f"the Parquet file is damaged, or has changed: {error}") from error
    except OSError:
        forget()
        raise
    if found is None:
        raise OSError(f"row {member.where['row']} has no bytes")
    return found


@dataclass
class _Place:
    """Where the reading of a file stands: `row` is the next that `batches` gives."""

    row: int
    batches: Iterator[pa.RecordBatch]


@dataclass
class _File:
    """A file whose cells are read, mostly in their order."""

    uri: str
    lock: Lock = field(default_factory=Lock)
    places: list[_Place] = field(default_factory=list)
    kept: OrderedDict[int, pa.Array] = field(default_factory=OrderedDict)  # first row -> cells
    table: pq.ParquetFile | None = None
    starts: list[int] = field(default_factory=list)  # of row groups
    ends: int = 0  # rows of all
    path: list[str] = field(default_factory=list)  # to the bytes
    batch: int = 1

    def cell(self, row: int, column: int) -> bytes | None:
        """The bytes of one row; None where they are null."""
        with self.lock:
            if self.table is None:
                self._open(column)
            found = self._kept(row)
            while found is None:
                self._read(row)
                found = self._kept(row)
            return found[0]

    def _open(self, column: int) -> None:
        system, path = filesystem(self.uri)
        # Arrow itself reads a local file at a third of what it takes through Python
        file = pa.OSFile(path) if is_local(system) else opened(self.uri)[0]
        # nor does it hold a whole row group, as by itself
        table = pq.ParquetFile(file, buffer_size=_READ, pre_buffer=False)
        about = [table.metadata.row_group(i) for i in range(table.num_row_groups)]
        way = _bytes_of(table.schema_arrow.field(column))
        if way is None:
            raise pa.ArrowInvalid(f"its column {column} holds no bytes")
        counts = [one.num_rows for one in about]
        self.starts = [sum(counts[:i]) for i in range(len(counts))]
        self.ends = sum(counts)
        size = sum(one.total_byte_size for one in about) // max(1, self.ends)
        self.batch = min(256, max(1, _READ // max(1, size)))
        self.path, self.table = way, table

    def _kept(self, row: int) -> tuple[bytes | None] | None:
        for start, cells in reversed(self.kept.items()):
            if start <= row < start + len(cells):
                return (cells[row - start].as_py(),)
        return None

    def _read(self, row: int) -> None:
        """Reads on to the row, from the place that is nearest before it."""
        group = bisect_right(self.starts, row) - 1
        near = [one for one in self.places if self.starts[group] <= one.row <= row]
        if near:
            place = max(near, key=lambda one: one.row)
            self.places.remove(place)
        else:
            groups = list(range(group, len(self.starts)))
            batches = self.table.iter_batches(self.batch, groups, [".".join(self.path)])
            place = _Place(self.starts[group], batches)
        while place.row <= row:
            batch = next(place.batches, None)
            if batch is None:
                raise IndexError(f"it has no row {row}")
            cells: Any = batch.column(0)
            for name in self.path[1:]:
                cells = pc.struct_field(cells, name)
            # those before the row too: another thread may be about to ask for them
            self._keep(place.row, cells)
            place.row += len(cells)
        if place.row < self.ends:  # what is read to its end would keep its last page
            self.places = [*self.places, place][-_PLACES:]

    def _keep(self, start: int, cells: pa.Array) -> None:
        self.kept[start] = cells
        while len(self.kept) > _PLACES and sum(one.nbytes for one in self.kept.values()) > _KEPT:
            self.kept.popitem(last=False)


@lru_cache(maxsize=8)
def _file(uri: str) -> _File:
    return _File(uri)


def forget() -> None:
    """Has files opened anew: they may have changed, or failed."""
    _file.cache_clear()
