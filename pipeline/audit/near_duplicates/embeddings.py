"""The image embeddings of a store, each listed image once: read part by part, never all at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.head.vectors.gather import matrix
from pipeline.head.vectors.parts import Part, locate

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TABLE, _COLUMN = "image_embeddings", "embedding"
# of an image that is listed several times the first of each; `copies` finds those that differ
_SQL = """
select
    image_id,
    min(split) as split,
    min(generator) as generator,
    case when min(label) = max(label) then min(label) end as label,
    min(uri) as uri
from listing
inner join (select image_id from image_embeddings where norm is not null) using (image_id)
group by image_id
"""


@dataclass(frozen=True)
class Embeddings:
    """`about`: image_id, split, generator, label and uri of n images, in the order of their rows.

    The rows of a part of the store follow each other.
    """

    about: pa.Table
    _parts: tuple[Part, ...]

    def __len__(self) -> int:
        return len(self.about)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(row of the first, unit vectors float32 [m, d]) of each part."""
        start = 0
        for part in self._parts:
            yield start, _units(part)
            start += len(part)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """float32 [m, d]: the unit vectors of some rows, int64 [m], increasing; reads their parts.

        Parts without such rows are not read.
        """
        found, start = [], 0
        for part in self._parts:
            first, last = np.searchsorted(rows, (start, start + len(part)))
            if last > first:
                found.append(_units(part)[rows[first:last] - start])
            start += len(part)
        return np.concatenate(found)

    def codes(self, column: str) -> np.ndarray:
        """int32 [n]: which of the values of a column of `about` an image has; -1: none."""
        encoded = self.about[column].combine_chunks().dictionary_encode()
        return pc.fill_null(encoded.indices, -1).to_numpy()

    def places(self, ids: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """bool [n]: which images are among these."""
        return pc.is_in(self.about["image_id"], value_set=pc.unique(ids)).to_numpy()


def embeddings(connection: "DuckDBPyConnection") -> Embeddings | None:
    """Those of clean, listed images; None where there is none."""
    rows = connection.sql(_SQL).to_arrow_table().combine_chunks()
    if not len(rows):
        return None
    parts = locate(connection, rows["image_id"].combine_chunks())
    parts.check({_TABLE})
    order = np.concatenate([part.rows for part in parts])
    return Embeddings(rows.take(pa.array(order)), parts.each)


def _units(part: Part) -> np.ndarray:
    found = matrix(part.one(_TABLE, [_COLUMN]), _TABLE, _COLUMN).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)
