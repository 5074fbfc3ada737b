"""Captions that the user already has: a CSV, Parquet or JSON-lines file, read once per worker."""

import gzip
import hashlib
import json
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError, nearest
from pipeline.spec import Parameters

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".jsonl", ".jsonl.gz", ".ndjson")


class CaptionFileSpec(Parameters):
    """Which file, and which of its columns name the image (`key`) and hold the `caption`.

    `several` says what two different captions of one image are: an error, or a choice (the first
    in the file's order).
    """

    file: str
    key: str
    caption: str
    several: Literal["error", "first"] = "error"

    def identity(self) -> dict[str, Any]:
        """A hash of the file's bytes; UserError when it, or a column, is not there."""
        path = Path(self.file)
        try:
            facts = path.stat()
        except OSError:
            names = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            raise UserError(
                "there is no such file of captions", self.file, nearest(path.name, names)
            ) from None
        stamp = (facts.st_size, facts.st_mtime_ns)
        return {"file": _checked(self.file, stamp, self.key, self.caption)}

    def load(self) -> "CaptionFile":
        """The captions in memory; UserError for a file that says two things of one image."""
        table = _read(Path(self.file), [self.key, self.caption])
        keys, captions = (
            pc.cast(table[name], pa.large_string()).combine_chunks()
            for name in (self.key, self.caption)
        )
        unnamed = pc.sum(pc.equal(pc.fill_null(pc.utf8_trim_whitespace(keys), ""), "")).as_py() or 0
        if unnamed:
            raise UserError(
                f"{unnamed} rows of captions name no image: their '{self.key}' is empty",
                self.file,
                "give them one, or take them out of the file",
            )
        keys = pc.replace_substring_regex(keys, r"^(\./)+", "")
        order = pc.sort_indices(keys)  # stable: of equal keys the file's first stays first
        keys, captions = keys.take(order), captions.take(order)
        if self.several == "error":
            _check_unique(keys, captions, self)
        return CaptionFile(keys, captions)


class CaptionFile:
    """Captions by key, sorted: a part looks up its own images and touches no other row."""

    def __init__(self, keys: pa.LargeStringArray, captions: pa.LargeStringArray):
        self._keys, self._captions = keys, captions

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, keys: Sequence[str | None]) -> list[tuple[bool, str | None]]:
        """For each key, whether the file has it, and its caption (None: an empty cell)."""
        return [self._find(key) for key in keys]

    def _find(self, key: str | None) -> tuple[bool, str | None]:
        if key is None:
            return False, None
        at = bisect_left(_Values(self._keys), key)
        if at == len(self._keys) or self._keys[at].as_py() != key:
            return False, None
        return True, self._captions[at].as_py()


class _Values(Sequence[str]):
    """An Arrow array as bisect wants it: Arrow sorts UTF-8 bytes, which is Python's order too."""

    def __init__(self, array: pa.Array):
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, place: Any) -> Any:
        return self._array[place].as_py()


@lru_cache(maxsize=64)
def _checked(file: str, stamp: tuple[int, int], key: str, caption: str) -> str:
    """The file's SHA-256, once its two columns are known to be there; `stamp` tells its states."""
    names = _column_names(Path(file))
    for role, name in (("key", key), ("caption", caption)):
        if name not in names:
            raise UserError(
                f"the captions file has no column '{name}'",
                f"{file} (`{role}: {name}`)",
                nearest(name, names),
            )
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _kind(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


def _column_names(path: Path) -> list[str]:
    import pyarrow.parquet as pq
    from pyarrow import csv

    try:
        if _kind(path) == "parquet":
            return pq.read_schema(path).names
        if _kind(path) in ("csv", "tsv"):
            with csv.open_csv(path, parse_options=_cells(path)) as opened:
                return opened.schema.names
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as opened:
            return list(json.loads(opened.readline()))
    except (pa.ArrowException, OSError, ValueError, TypeError) as problem:
        raise _unreadable(path, problem) from problem


def _read(path: Path, columns: list[str]) -> pa.Table:
    """The two columns as text; UserError for a file that is damaged or holds something else."""
    import pyarrow.json
    import pyarrow.parquet as pq
    from pyarrow import csv

    kinds = dict.fromkeys(columns, pa.string())
    try:
        if _kind(path) == "parquet":
            table = pq.read_table(path, columns=columns)
        elif _kind(path) in ("csv", "tsv"):
            convert = csv.ConvertOptions(include_columns=columns, column_types=kinds)
            table = csv.read_csv(path, parse_options=_cells(path), convert_options=convert)
        else:
            parse = pyarrow.json.ParseOptions(
                explicit_schema=pa.schema(kinds), unexpected_field_behavior="ignore"
            )
            with pa.input_stream(path) as opened:
                table = pyarrow.json.read_json(opened, parse_options=parse)
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise _unreadable(path, problem) from problem
    for name in columns:
        kind = table.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise UserError(f"the column '{name}' holds {kind}, not text", str(path))
    return table


def _cells(path: Path) -> Any:
    from pyarrow import csv

    comma = "\t" if _kind(path) == "tsv" else ","
    return csv.ParseOptions(delimiter=comma, newlines_in_values=True)


def _unreadable(path: Path, problem: Exception) -> UserError:
    reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0][:300]
    return UserError(
        f"the captions file cannot be read: {reason}",
        str(path),
        "it must be CSV, TSV or JSON lines in UTF-8, or Parquet, whichever its name ends in",
    )


def _check_unique(keys: pa.Array, captions: pa.Array, spec: CaptionFileSpec) -> None:
    if len(keys) < 2:
        return
    said = pc.fill_null(captions, "")
    twice = pc.and_(
        pc.equal(keys.slice(1), keys.slice(0, len(keys) - 1)),
        pc.not_equal(said.slice(1), said.slice(0, len(keys) - 1)),
    )
    named = pc.unique(keys.slice(1).filter(twice))
    if len(named):
        shown = ", ".join(f"'{name}'" for name in named.slice(0, 3).to_pylist())
        raise UserError(
            f"{len(named)} images have several different captions: {shown}",
            f"{spec.file} (`key: {spec.key}`)",
            "keep one row for each image, or set `several: first` to take the first of each",
        )
