"""The names by which a user's file knows images, sorted: a part looks up its own alone."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError


class Keys:
    """`names` large_string [n], a row of the file each; a leading `./` counts for nothing."""

    def __init__(self, names: pa.LargeStringArray):
        names = pc.replace_substring_regex(names, r"^(\./)+", "")
        self._order = pc.sort_indices(names)  # stable: of equal keys the file's first stays first
        self._sorted = names.take(self._order)

    def __len__(self) -> int:
        return len(self._sorted)

    def row(self, key: str | None) -> int | None:
        """The first row of the file that a key has; None without one."""
        if key is None:
            return None
        at = bisect_left(_Values(self._sorted), key)
        if at == len(self._sorted) or self._sorted[at].as_py() != key:
            return None
        return self._order[at].as_py()

    def repeated(self) -> tuple[pa.LargeStringArray, np.ndarray]:
        """Keys that rows share with a row before them: the key, and int64 [k, 2], both rows."""
        if len(self) < 2:
            return self._sorted.slice(0, 0), np.empty((0, 2), np.int64)
        same = pc.equal(self._sorted.slice(1), self._sorted.slice(0, len(self) - 1))
        order = self._order.to_numpy().astype(np.int64)
        pairs = np.stack([order[:-1], order[1:]], axis=1)[same.to_numpy(zero_copy_only=False)]
        return self._sorted.slice(1).filter(same), pairs


def check_named(names: pa.LargeStringArray, rows_of: str, role: str, where: str) -> None:
    """UserError where a row's key is null, empty or white space."""
    unnamed = pc.sum(pc.equal(pc.fill_null(pc.utf8_trim_whitespace(names), ""), "")).as_py() or 0
    if unnamed:
        raise UserError(
            f"{unnamed} rows of {rows_of} name no image: their {role} is empty",
            where,
            "give them one, or take them out of the file",
        )


def check_agree(names: pa.LargeStringArray, what: str, where: str, rows: str) -> None:
    """UserError about images, the `names`, of which a file says several things; none: nothing."""
    named = pc.unique(names)
    if len(named):
        shown = ", ".join(f"'{name}'" for name in named.slice(0, 3).to_pylist())
        raise UserError(
            f"{len(named)} images have several different {what}: {shown}",
            where,
            f"keep one {rows} for each image, or set `several: first` to take the first of each",
        )


class _Values(Sequence[str]):
    """An Arrow array as bisect wants it: Arrow sorts UTF-8 bytes, which is Python's order too."""

    def __init__(self, array: pa.Array):
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, place: Any) -> Any:
        return self._array[place].as_py()
