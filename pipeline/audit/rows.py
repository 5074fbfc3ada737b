"""The images of which an audit asks whether their label can be told: a sample of the listing.

Each image counts once, under its first path; in its generators too. Images that are listed with two
labels have none, and are found elsewhere (`pipeline.audit.copies`). An image_id is a hash, so the
first of them are a random sample, and the same one each time.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ALL = "all generators"
SAMPLE = 25_000  # images of each label, of all generators together
OF_GENERATOR = 4_000  # images of each label of a generator
FACTS = ("bytes", "width", "height", "format", "mode", "orientation")
FACTS += ("jpeg_quality", "jpeg_tables", "has_exif")

_SQL = """
with sound as (
    select
        image_id,
        generator,
        min(label) as label,
        min(uri) as uri,
        {facts}
    from listing
    where
        image_id is not null
        and label is not null
        and width is not null
        and image_id not in (
            select image_id from listing
            where image_id is not null
            group by image_id
            having min(label) <> max(label)
        )
    group by image_id, generator
),

placed as (
    select
        *,
        row_number() over (
            partition by image_id order by generator nulls first
        ) = 1 as once,
        row_number() over (
            partition by generator, label order by image_id
        ) as of_generator
    from sound
),

counted as (
    select
        *,
        case
            when once then row_number() over (partition by once, label order by image_id)
        end as of_all
    from placed
)

from counted
where of_all <= $sample or of_generator <= $of_generator
order by image_id, generator nulls first
"""


@dataclass(frozen=True)
class Group:
    """Images of both labels among which the label is to be told.

    `name` is for readers. `rows` has `FACTS`, image_id and uri, in the order of image_id; `label`
    is int8 [n]. `borrowed`: the generator has no real images, and is held against those of all.
    """

    name: str
    rows: pa.Table
    label: np.ndarray
    borrowed: bool = False

    @property
    def generator(self) -> str | None:
        """The name; None of all images."""
        return None if self.name == ALL else self.name

    @property
    def counts(self) -> tuple[int, int]:
        """(reals, fakes)."""
        fakes = int(self.label.sum())
        return len(self.label) - fakes, fakes

    def only(self, mask: np.ndarray) -> "Group":
        """Those of the images for which `mask` (bool [n]) is true."""
        rows = self.rows.filter(pa.array(mask))
        return Group(self.name, rows, self.label[mask], self.borrowed)


def groups(connection: "DuckDBPyConnection") -> list[Group]:
    """All labelled images, and where there are several generators of fakes those of each.

    A generator's fakes stand beside its own real images, or without any beside those of all.
    """
    facts = ",\n        ".join(f"any_value({name}) as {name}" for name in FACTS)
    sizes = {"sample": SAMPLE, "of_generator": OF_GENERATOR}
    rows = connection.sql(_SQL.format(facts=facts), params=sizes).to_arrow_table()
    label = rows["label"].to_numpy()
    together = _least(rows["of_all"], SAMPLE)
    found = [_group(ALL, rows, label, together)]
    of_each = _least(rows["of_generator"], OF_GENERATOR)
    fakes = rows.filter(pa.array(label == 1))
    generators = sorted(pc.unique(fakes["generator"]).to_pylist(), key=lambda name: name or "")
    for generator in generators if len(generators) > 1 else ():
        own = pc.fill_null(pc.equal(rows["generator"], generator), False).to_numpy()
        if generator is None:
            own = rows["generator"].is_null().to_numpy()
        here = own & of_each
        borrowed = not (here & (label == 0)).any()
        if borrowed:
            here |= _least(rows["of_all"], OF_GENERATOR) & (label == 0)
        found.append(_group(generator or "(no generator)", rows, label, here, borrowed))
    return found


def _least(column: pa.ChunkedArray, most: int) -> np.ndarray:
    return pc.fill_null(pc.less_equal(column, most), False).to_numpy()


def _group(
    name: str, rows: pa.Table, label: np.ndarray, here: np.ndarray, borrowed: bool = False
) -> Group:
    kept = rows.filter(pa.array(here)).select(["image_id", "uri", *FACTS])
    return Group(name, kept, label[here], borrowed)
