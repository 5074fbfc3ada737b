"""Captions that the user already has: a CSV, Parquet or JSON-lines file, read once per worker."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.models.given import text_columns
from pipeline.models.given.keys import Keys, check_agree, check_named
from pipeline.spec import Parameters

_WHAT = "captions"
ABSENT = "no caption in the file"


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
        stamp = text_columns.check_there(Path(self.file), _WHAT)
        return {"file": _checked(self.file, stamp, self.key, self.caption)}

    def load(self) -> "CaptionFile":
        """The captions in memory; UserError for a file that says two things of one image."""
        columns = [self.key, self.caption]
        (names, captions), odd = text_columns.read(Path(self.file), columns, _WHAT)
        check_named(names, _WHAT, f"'{self.key}'", self.file)
        keys = Keys(names)
        if self.several == "error":
            repeated, pairs = keys.repeated()
            one, other = (pc.fill_null(captions.take(pa.array(rows)), "") for rows in pairs.T)
            differ = repeated.filter(pc.not_equal(one, other))
            check_agree(differ, _WHAT, f"{self.file} (`key: {self.key}`)", "row")
        return CaptionFile(keys, captions, odd)


class CaptionFile:
    """Captions in the file's order, found by key; `odd`: rows whose caption is no text."""

    def __init__(self, keys: Keys, captions: pa.LargeStringArray, odd: frozenset[int]):
        self._keys, self._captions, self._odd = keys, captions, odd

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, keys: Sequence[str | None]) -> list[tuple[str | None, str | None]]:
        """For each key its caption, or (None, why the file has none for it)."""
        return [self._found(self._keys.row(key)) for key in keys]

    def has(self, key: str) -> bool:
        """Whether a row has this key."""
        return self._keys.row(key) is not None

    def _found(self, row: int | None) -> tuple[str | None, str | None]:
        if row is None:
            return None, ABSENT
        if row in self._odd:
            return None, "the caption in the file holds half of a character"
        text = (self._captions[row].as_py() or "").strip()
        return (text, None) if text else (None, "the caption in the file is empty")


@lru_cache(maxsize=64)
def _checked(file: str, stamp: tuple[int, int], key: str, caption: str) -> str:
    """The file's SHA-256, once its two columns are known to be there; `stamp` tells its states."""
    text_columns.check_columns(Path(file), _WHAT, {"key": key, "caption": caption})
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
