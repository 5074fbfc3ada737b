"""Embeddings that the user already has: vectors by key, from a file of others."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.errors import UserError, nearest
from pipeline.models.given import text_columns, vector_rows
from pipeline.models.given.keys import Keys, check_agree, check_named
from pipeline.models.given.text_columns import check_columns, check_there, kind
from pipeline.models.given.vector_rows import WHAT, VectorRows
from pipeline.spec import Parameters

SUFFIXES = (".npy", ".npz", ".parquet")
LINES = ".txt"  # a list of keys, one a line
_COMPARED = 65_536  # rows


class EmbeddingFileSpec(Parameters):
    """Which file, where in it the vectors are, and where the keys are.

    `embedding`: the array of an .npz or the column of a Parquet file (null: a .npy has but one).
    The keys are the array or column `key`; with `list` they are those of another file, in the order
    of the vectors: the lines of a text, or the column `key` of a table. `several`: what two
    different vectors of one image are, an error, or a choice (the first in the file's order).
    """

    file: str
    embedding: str | None
    key: str | None
    list: str | None = None
    several: Literal["error", "first"] = "error"

    def identity(self) -> dict[str, Any]:
        """A hash of each file's bytes; UserError when one, or what is read of it, is not there."""
        file = Path(self.file)
        own = None if self.list else self.key
        found = {"file": _checked(self.file, check_there(file, WHAT), self.embedding, own)}
        if self.list:
            stamp = check_there(Path(self.list), "keys")
            found["list"] = _checked_list(self.list, stamp, self.key)
        return found

    def load(self) -> "EmbeddingFile":
        """The keys in memory, the vectors on disk; UserError for files that do not fit together."""
        vectors, names = self._vectors(), self._names()
        place = self.list or self.file
        role = f"'{self.key}'" if self.key else "line"
        check_named(names, WHAT, role, place)
        if len(names) != len(vectors.array):
            raise UserError(
                f"there are {len(names):,} keys and {len(vectors.array):,} vectors",
                place if place == self.file else f"{self.list} and {self.file}",
                "each vector needs its key, in the same order",
            )
        keys = Keys(names)
        if self.several == "error":
            repeated, pairs = keys.repeated()
            differ = repeated.filter(pa.array(_differ(vectors, pairs), pa.bool_()))
            check_agree(differ, "vectors", place, "vector")
        return EmbeddingFile(keys, vectors)

    def _vectors(self) -> VectorRows:
        path = Path(self.file)
        if kind(path) == "npy":
            return vector_rows.npy(path)
        read = vector_rows.npz if kind(path) == "npz" else vector_rows.parquet
        return read(path, str(self.embedding))

    def _names(self) -> pa.LargeStringArray:
        if self.list and self.list.lower().endswith(LINES):
            return _lines(Path(self.list))
        path = Path(self.list or self.file)
        if kind(path) == "npz":
            return vector_rows.npz_text(path, str(self.key))
        (names,), _ = text_columns.read(path, [str(self.key)], "keys" if self.list else WHAT)
        return names


class EmbeddingFile:
    """Vectors by key; `width` is the number d of their numbers."""

    def __init__(self, keys: Keys, vectors: VectorRows):
        self._keys, self._vectors = keys, vectors
        self.width: int = vectors.array.shape[1]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, keys: Sequence[str | None]) -> np.ndarray:
        """The row of each key, int64 [k]; -1 where the file has none."""
        found = (self._keys.row(key) for key in keys)
        return np.array([-1 if row is None else row for row in found], np.int64)

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, list[str | None]]:
        """Vectors of `rows` as they are in the file, float64 [k, d], and why one is none."""
        faults = self._vectors.faults
        return self._vectors.take(rows), [faults.get(row) for row in rows.tolist()]


def _differ(vectors: VectorRows, pairs: np.ndarray) -> np.ndarray:
    """bool [k]: whether the vectors of two rows are not the same, number by number."""
    out = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), _COMPARED):
        some = slice(start, start + _COMPARED)
        one, other = (vectors.take(rows) for rows in pairs[some].T)
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        out[some] = ~same.all(axis=1)
    return out


def _lines(path: Path) -> pa.LargeStringArray:
    """A text's lines; an end of line at its end begins no other."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise text_columns.unreadable(path, "keys", problem, "it must be UTF-8") from problem
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return pa.array(lines if text else [], pa.large_string())


@lru_cache(maxsize=64)
def _checked(file: str, stamp: tuple[int, int], embedding: str | None, key: str | None) -> str:
    """The file's SHA-256, once what is read of it is there; `stamp` tells the file's states."""
    path = Path(file)
    wanted = {"embedding": embedding, "key": key}
    wanted = {role: name for role, name in wanted.items() if name is not None}
    if kind(path) == "parquet":
        check_columns(path, WHAT, wanted)
    elif kind(path) == "npz":
        names = vector_rows.npz_names(path)
        for role, name in wanted.items():
            if name not in names:
                where = f"{file} (`{role}: {name}`)"
                raise UserError(f"the file has no array '{name}'", where, nearest(name, names))
    return _sha256(path)


@lru_cache(maxsize=64)
def _checked_list(file: str, stamp: tuple[int, int], key: str | None) -> str:
    if not file.lower().endswith(LINES):
        check_columns(Path(file), "keys", {"key": str(key)})
    return _sha256(Path(file))


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
