"""The rows of one side of an experiment."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Rows:
    """The images of one side: `table` has image_id, variant, label, generator and split.

    The order is fixed: with several variants the rows of one, then those of the next, alike.

    `sql` is what selected them; `notes` say in words what was left out, and why.
    """

    table: pa.Table
    sql: str
    notes: tuple[str, ...]

    @property
    def label(self) -> np.ndarray:
        """int8 [n]: 0 real, 1 fake."""
        return self.table["label"].to_numpy()

    @property
    def generators(self) -> set[str | None]:
        """Those of all rows, real ones too."""
        return set(pc.unique(self.table["generator"]).to_pylist())

    @property
    def faked_by(self) -> set[str | None]:
        """The generators that have fakes here."""
        fakes = self.table.filter(pc.equal(self.table["label"], 1))
        return set(pc.unique(fakes["generator"]).to_pylist())
