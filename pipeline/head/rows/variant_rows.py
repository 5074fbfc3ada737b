"""The variants of an experiment's images: the same rows, under another image_id.

Reads the view `images`, and those of what the experiment's methods read.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.variants import CLEAN, ID_LENGTH, order
from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError, nearest
from pipeline.head.rows.columns import made, query
from pipeline.head.rows.computed import Computed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def in_variant(rows: pa.Table, variant: str) -> pa.Table:
    """Rows of clean images (image_id first) as those of a variant, named in a second column."""
    names = pa.array([variant] * rows.num_rows, pa.string())
    rows = rows.add_column(1, "variant", names)
    if variant == CLEAN:
        return rows
    ids = pc.binary_join_element_wise(rows["image_id"], variant, "-")
    return rows.set_column(0, "image_id", ids)


def contents(table: pa.Table) -> pa.ChunkedArray:
    """The image_ids without their variants."""
    return pc.utf8_slice_codeunits(table["image_id"], 0, ID_LENGTH)


def check_variant(connection: "DuckDBPyConnection", variant: str, key: str) -> None:
    """UserError, with the nearest one, unless images are in this variant."""
    there = variants_of(connection)
    if variant not in there:
        raise UserError(
            f"the corpus has no variant '{variant}': {nearest(variant, there)}",
            key,
            f"write e.g. `variants: {{all: [{variant}]}}` below `corpus:`, then `item run` again",
        )


def variants_of(connection: "DuckDBPyConnection") -> set[str]:
    """The variants that images are in, clean among them."""
    sql = "select distinct variant from images"
    return set(query(connection, sql, "images", "`item query DAG nodes`")["variant"].to_pylist())


def in_every_variant(
    connection: "DuckDBPyConnection", test: pa.Table, key: str, experiment: Experiment
) -> tuple[pa.Table, list[str]]:
    """Test rows (of one variant) in every variant, clean included; and what was left out, in words.

    Images that lack one of the variants, or failed in one, are left out of all: so what changes
    from one to the next is the variant, and nothing else. The rows of each are in `test`'s order.
    UserError when there are no variants, or some are not computed yet, unless the experiment is
    content with a part.
    """
    own = test.drop_columns("variant").set_column(0, "image_id", contents(test))
    ids = pc.unique(own["image_id"])
    connection.register("item_tested", pa.table({"image_id": ids, "position": range(len(ids))}))
    try:
        sql = _variants(connection, experiment)
        found = query(connection, sql, "images", "`item query DAG nodes` shows its nodes")
    finally:
        connection.unregister("item_tested")
    names = order(pc.unique(found["variant"]).to_pylist())
    if names == [CLEAN]:
        raise UserError(
            "there are no variants of the test images",
            key,
            "name some below `corpus:`, such as `variants: {test: [jpeg_50]}`, then `item run`",
        )
    missing = found.filter(pc.equal(found["state"], "missing"))
    if missing.num_rows and not experiment.partial:
        raise UserError(
            f"{missing.num_rows:,} of {found.num_rows:,} variants of test images are not computed "
            "yet",
            key,
            "compute them with `item run DAG`, or go on without them: `item train DAG --partial`",
        )
    found = found.filter(pc.not_equal(found["state"], "missing"))
    there, ok = np.zeros(len(ids), int), np.zeros(len(ids), int)
    np.add.at(there, found["position"].to_numpy(), 1)
    np.add.at(ok, found.filter(pc.equal(found["state"], "ok"))["position"].to_numpy(), 1)
    lacking, failed = there < len(names), (there == len(names)) & (ok < len(names))
    if not (ok == len(names)).any():
        raise UserError(
            f"no test image is usable in every one of {', '.join(names)}",
            key,
            "give the splits that are tested the same variants, or narrow `test`",
        )
    notes = [
        f"{count:,} images {why} left out, so that all variants are of the same images"
        for count, why in (
            (
                int(lacking.sum()),
                f"that are not {'computed ' if missing.num_rows else ''}in every variant",
            ),
            (int(failed.sum()), "that failed in a variant"),
        )
        if count
    ]
    kept = own.filter(pc.is_in(own["image_id"], ids.filter(pa.array(ok == len(names)))))
    return pa.concat_tables([in_variant(kept, name) for name in names]).combine_chunks(), notes


def _variants(connection: "DuckDBPyConnection", experiment: Experiment) -> str:
    """SQL: of the images in `item_tested` (image_id, position) their variants, and their state."""
    computed = Computed.of(experiment, made(connection))
    return f"""
select
    item_tested.position,
    images.variant,
    case
        when coalesce(images.error, {computed.error}) is not null then 'failed'
        when {computed.missing} then 'missing'
        else 'ok'
    end as state
from item_tested
join images on images.content_id = item_tested.image_id
{computed.joins("images.image_id")}
"""
