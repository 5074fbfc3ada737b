"""The parts of the store that hold an experiment's images, read by Arrow, one at a time.

Everything that an image needs lies in the parts of one name, its own part's, so whatever is joined
is joined within a part, and no more than a part is in memory. Within a part nothing is aligned by
position: rows meet by image_id.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.head.rows.columns import made
from pipeline.store.parts import read_part

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_COMPUTE = "compute them with `item run DAG`, then train again"


@dataclass(frozen=True)
class Part:
    """The selected images of one part.

    `ids`: string [m]. `rows` int64 [m]: which of all selected images they are. `files`: table, or
    node -> the part's file.
    """

    name: str
    ids: pa.Array
    rows: np.ndarray
    files: Mapping[str, Path]

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, table: str, columns: list[str]) -> pa.Table:
        """A table's rows of these images, with `position`: which one it is, from 0.

        UserError when the file is damaged.
        """
        data = self.whole(table, ["image_id", *columns])
        position = pc.index_in(data["image_id"], value_set=self.ids)
        data = data.append_column("position", position)
        if position.null_count:
            data = data.filter(pc.is_valid(data["position"]))
        return data.combine_chunks()

    def one(self, table: str, columns: list[str]) -> pa.Table:
        """The row of each of these images, in their order; UserError when it has not just one."""
        data = self.read(table, columns)
        position = data["position"].to_numpy()
        if len(data) != len(self) or len(np.unique(position)) != len(self):
            raise UserError(
                f"{table} has {len(data):,} rows for {len(self):,} images of {self.name}",
                table,
                _COMPUTE,
            )
        if (position[1:] > position[:-1]).all():
            return data
        return data.take(pa.array(np.argsort(position))).combine_chunks()

    def whole(self, table: str, columns: list[str]) -> pa.Table:
        """All rows of a table of this part, whatever their key."""
        return read_part(self.files[table], columns)[0]


@dataclass(frozen=True)
class Parts:
    """The parts of `count` images. `formats`: the file formats among them, by name.

    `tables`: those that the DAG's nodes make.
    """

    count: int
    formats: tuple[str, ...]
    tables: frozenset[str]
    each: tuple[Part, ...]

    def __iter__(self) -> Iterator[Part]:
        return iter(self.each)

    def check(self, tables: set[str]) -> None:
        """UserError when one of the tables that are to be read lacks a part."""
        for table in sorted(tables):
            lacking = [part for part in self.each if table not in part.files]
            if lacking:
                images = sum(len(part) for part in lacking)
                raise UserError(
                    f"{table} lacks {len(lacking):,} of {len(self.each):,} parts, which hold "
                    f"{images:,} of the {self.count:,} selected images",
                    table,
                    f"{_COMPUTE} (`item query DAG nodes` shows which node makes {table}; of "
                    "several one must have that name)",
                )


def locate(connection: "DuckDBPyConnection", ids: pa.Array) -> Parts:
    """Where the images of `ids` (each once) lie. UserError when one is in no part of `images`.

    `connection`: one of `pipeline.query.questions.connect`; its view `parts` tells the files.
    """
    files: dict[str, dict[str, Path]] = {}
    for node, table, canonical, part, path in connection.sql(
        "select node, table_name, canonical, part, path from parts order by path"
    ).fetchall():
        files.setdefault(part, {})[node] = Path(path)
        if canonical:
            files[part][table] = Path(path)
    names = [name for name, tables in files.items() if "images" in tables]
    read = [read_part(files[name]["images"], ["image_id", "format"])[0] for name in names]
    known = pa.concat_tables(read) if read else pa.table({"image_id": pa.array([], pa.string())})
    found = pc.index_in(ids, value_set=known["image_id"])
    if found.null_count:
        raise UserError(
            f"{found.null_count:,} of {len(ids):,} selected images are in no part of `images`",
            "images",
            _COMPUTE,
        )
    place = found.to_numpy()
    formats = pc.unique(known["format"].take(found)).to_pylist()
    order = np.argsort(place)
    ends = np.cumsum([table.num_rows for table in read])
    cuts = np.searchsorted(place[order], ends[:-1])
    each = (
        Part(name, ids.take(pa.array(rows)), rows, files[name])
        for name, rows in zip(names, np.split(order, cuts), strict=True)
        if len(rows)
    )
    formats = tuple(sorted(name or "" for name in formats))
    return Parts(len(ids), formats, made(connection), tuple(each))
