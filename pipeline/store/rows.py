"""The rows of one node's part: those that are there, and those that take their place.

Each has beside it what it was made from, a digest of the rows of its inputs (`tables.MADE_FROM`):
so after a change upstream exactly the rows that depend on it are computed anew.
"""

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.errors import TRANSIENT
from pipeline.tables import MADE_FROM

_DIGEST = 8  # bytes


class Rows:
    """A table of rows by `key`, some of which are replaced. `there`: as it lies in the store."""

    def __init__(self, key: str, there: pa.Table | None):
        self._key, self._there = key, there
        self._made: list[pa.Table] = []

    @property
    def kept(self) -> bool:
        """Whether rows are left that were there before."""
        return self._there is not None and len(self._there) > 0

    @property
    def changed(self) -> bool:
        """Whether any row was made."""
        return bool(self._made)

    def known(self) -> pa.Array:
        """The distinct keys that have rows."""
        table = self._all()
        return pa.array([], pa.string()) if table is None else pc.unique(table[self._key])

    def absent(self, keys: pa.Array) -> pa.Array:
        """Those of `keys` that have no row."""
        return keys.filter(pc.invert(_among(keys, self.known())))

    def lacking(self, keys: pa.Array) -> pa.Array:
        """Those of `keys` that have no row, or one that failed for now."""
        table = self._all()
        if table is None:
            return keys
        good = table.filter(pc.invert(transient(table)))[self._key]
        return keys.filter(pc.invert(_among(keys, good)))

    def outdated(self, keys: pa.Array, made_from: pa.Array) -> pa.Array:
        """Those of `keys` that are `lacking`, or were made from something else than now."""
        table = self._all()
        if table is None:
            return keys
        at = pc.index_in(keys, value_set=table[self._key])  # all rows of a key have one digest
        same = pc.fill_null(pc.equal(table[MADE_FROM].take(at).combine_chunks(), made_from), False)
        right = pc.and_(same, pc.invert(_among(keys, self.lacking(keys))))
        return keys.filter(pc.invert(right))

    def put(self, keys: pa.Array, made: pa.Table, made_from: pa.Array) -> None:
        """Rows for all of `keys`, in the place of what they had; `made_from` for each key."""
        self.drop(keys)
        at = pc.index_in(made[self._key], value_set=keys).combine_chunks()
        self._made.append(made.append_column(MADE_FROM, made_from.take(at)))

    def drop(self, keys: pa.Array) -> None:
        """Leaves the rows of `keys` out."""
        if self._there is not None:
            self._there = self._there.filter(pc.invert(_among(self._there[self._key], keys)))
        self._made = [one.filter(pc.invert(_among(one[self._key], keys))) for one in self._made]

    def of(self, keys: pa.Array) -> pa.Table:
        """The rows of `keys`, in their order."""
        some = [one.filter(_among(one[self._key], keys)) for one in self._pieces()]
        return self._ordered(pa.concat_tables(some), keys)

    def table(self, order: pa.Array) -> pa.Table | None:
        """All rows, in the order of the keys in `order`, which has all of them; None without."""
        table = self._all()
        return None if table is None else self._ordered(table, order)

    def _pieces(self) -> list[pa.Table]:
        return [*([] if self._there is None else [self._there]), *self._made]

    def _all(self) -> pa.Table | None:
        if len(self._made) > 1:
            self._made = [pa.concat_tables(self._made)]
        return pa.concat_tables(self._pieces()) if self._pieces() else None

    def _ordered(self, table: pa.Table, order: pa.Array) -> pa.Table:
        place = pc.index_in(table[self._key], value_set=order).to_numpy()
        if (place[1:] >= place[:-1]).all():
            return table
        return table.take(pa.array(np.argsort(place, kind="stable")))


def transient(table: pa.Table) -> pa.Array:
    """Which rows failed for now, and are to be tried again: bool, not null."""
    return pc.fill_null(pc.starts_with(table["error"], TRANSIENT), False)


def counts(key: str, table: pa.Table) -> dict[str, int]:
    """How many keys have rows, good and failed ones, and how many failed for now."""
    failed = pc.count_distinct(table.filter(pc.is_valid(table["error"]))[key]).as_py()
    rows = pc.count_distinct(table[key]).as_py()
    again = pc.count_distinct(table.filter(transient(table))[key]).as_py()
    return {"rows_in": rows, "rows_ok": rows - failed, "rows_failed": failed, "transient": again}


def digests(inputs: Mapping[str, pa.Table], keys: pa.Array) -> pa.Array:
    """int64 for each of `keys` (image ids): of its rows in all of these tables.

    Of `images` only whether it can be used counts: the rest follows from the content, which an id
    stands for. Tables without image_id are left out.
    """
    made = [blake2b(digest_size=_DIGEST) for _ in range(len(keys))]
    for name in sorted(inputs):
        table = tables.declared(inputs[name])
        if "image_id" not in table.column_names:
            continue
        if name == "images":
            table = table.select(["image_id", "error"]).filter(pc.is_valid(table["error"]))
        place = pc.index_in(table["image_id"], value_set=keys).to_pylist()
        for at, line in zip(place, _lines(table.drop_columns("image_id")), strict=True):
            if at is not None:
                made[at].update(name.encode() + line)
    return pa.array(np.frombuffer(b"".join(one.digest() for one in made), np.int64))


def row_digests(table: pa.Table) -> pa.Array:
    """int64 for each row of a table."""
    lines = _lines(tables.declared(table))
    found = b"".join(blake2b(line, digest_size=_DIGEST).digest() for line in lines)
    return pa.array(np.frombuffer(found, np.int64))


def _lines(table: pa.Table) -> list[bytes]:
    """Each row as bytes: equal rows have equal ones."""
    lists = [f.name for f in table.schema if pa.types.is_fixed_size_list(f.type)]
    columns = [table[name].to_pylist() for name in table.column_names if name not in lists]
    lines = [repr(row).encode() for row in zip(*columns, strict=True)]
    for name in lists:
        vectors, valid = tables.matrix(table[name])
        half = np.ascontiguousarray(vectors.astype(np.float16))
        for row, there in enumerate(valid.tolist()):
            lines[row] += half[row].tobytes() if there else b"-"
    return lines


def _among(keys: pa.Array | pa.ChunkedArray, some: pa.Array) -> pa.Array | pa.ChunkedArray:
    return pc.is_in(keys, value_set=some)
