"""How a failure travels down the graph: with the reason, and with one prefix only."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SAID = re.compile(r"no [a-z ]+: ")


def because(missing: str, error: str) -> str:
    """`no caption: <why>`; a reason that already says what is missing stays as it is."""
    return error if _SAID.match(error) else f"no {missing}: {error}"


def reasons(missing: str, column: pa.ChunkedArray) -> np.ndarray:
    """An error column as an object array of `because(missing, error)`, None where there is none."""
    found = np.array(column.to_pylist(), object)
    for row in np.flatnonzero(np.not_equal(found, None)):
        found[row] = because(missing, found[row])
    return found


def first(*columns: np.ndarray) -> np.ndarray:
    """Row by row the first reason that is not None."""
    merged = columns[-1].copy()
    for column in reversed(columns[:-1]):
        given = np.not_equal(column, None)
        merged[given] = column[given]
    return merged


def positions(keys: pa.ChunkedArray, among: pa.ChunkedArray, what: str) -> np.ndarray:
    """Where each key lies in `among`, int64 [n]; -1 for a null key.

    ValueError when a key is missing there: the two tables do not belong together.
    """
    if among.null_count or len(pc.unique(among)) != len(among):
        raise ValueError(f"{what}: the keys looked up among are not unique")
    found = pc.index_in(keys, value_set=among)
    lost = pc.and_(pc.is_null(found), pc.is_valid(keys))
    if pc.any(lost).as_py():
        example = pc.filter(keys, lost)[0].as_py()
        raise ValueError(f"{what}: '{example}' is not among the {len(among)} rows")
    return pc.fill_null(found, -1).to_numpy().astype(np.int64)
