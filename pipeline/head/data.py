"""Rows and matrices of an experiment: SQL selects the images, Arrow brings their vectors.

Reads three views: `listing`, `features` and `image_embeddings`. Nothing is aligned by position
across files: rows and vectors meet by image_id.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError, nearest
from pipeline.head.experiment import Experiment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# what a predicate may name, with the view that a column comes from
COLUMNS = {
    **dict.fromkeys(("uri", "image_id", "label", "generator", "dataset", "split"), "listing"),
    **dict.fromkeys(("class_name", "bytes", "width", "height", "format"), "listing"),
    **dict.fromkeys(("mode", "jpeg_quality"), "listing"),
    **dict.fromkeys(("num_objects", "cosine_global", "distance_global"), "features"),
    **dict.fromkeys(("cosine_local", "distance_local"), "features"),
}

# A row a listed file. `state` is what can be done with it.
_EXPERIMENT_ROWS = f"""
with experiment_rows as (
    select
        {", ".join(f"{view}.{column}" for column, view in COLUMNS.items())},
        case
            when coalesce(listing.error, features.error, image_embeddings.error) is not null
                then 'failed'
            when listing.label is null then 'unlabelled'
            when features.image_id is null or image_embeddings.image_id is null then 'missing'
            else 'ok'
        end as state
    from listing
    left join features on features.image_id = listing.image_id
    left join image_embeddings on image_embeddings.image_id = listing.image_id
)
"""


@dataclass(frozen=True)
class Rows:
    """The images of one side: `table` has image_id, label, generator and split, in a fixed order.

    `sql` is what selected them; `notes` say in words what was left out, and why.
    """

    table: pa.Table
    sql: str
    notes: tuple[str, ...]

    @property
    def label(self) -> np.ndarray:
        """int8 [n]: 0 real, 1 fake."""
        return self.table["label"].to_numpy()


def select(
    connection: "DuckDBPyConnection", experiment: Experiment, name: str
) -> tuple[Rows, Rows]:
    """Training rows (an image once) and test rows (an image once a generator) of an experiment.

    Unlabelled and failed rows are left out and counted in the notes. Raises UserError for a wrong
    predicate, one that selects nothing, training rows of one class, images that have no features
    yet, an image with two labels, and an image that is in both training and test.
    """
    train_where = f"({experiment.train}\n)"
    rest = f"(image_id in (select image_id from experiment_rows where {train_where})) is not true"
    test_where = f"({experiment.test}\n)" if experiment.test else rest
    key = f"experiments.{name}"
    train = _side(connection, train_where, "image_id", f"{key}.train")
    test = _side(connection, test_where, "image_id, generator", f"{key}.test")
    classes = set(train.label.tolist())
    if len(classes) < 2:
        only = "fake (label 1)" if 1 in classes else "real (label 0)"
        raise UserError(
            f"all {train.table.num_rows:,} training rows are {only}: a head needs both",
            f"{key}.train: {experiment.train}",
            "widen the predicate so that it selects real and fake images",
        )
    _check_apart(train, test, key)
    return train, test


def _side(connection: "DuckDBPyConnection", where: str, unique: str, key: str) -> Rows:
    sql = (
        f"{_EXPERIMENT_ROWS}select image_id, label, generator, split, state\n"
        f"from experiment_rows where\n{where}\norder by image_id, generator, label, split, uri"
    )
    advice = "a predicate is what follows `where`: \"generator = 'gan' and split = 'train'\""
    rows = query(connection, sql, key, advice)
    states = dict(zip(*np.unique(rows["state"].to_numpy(), return_counts=True), strict=True))
    if missing := states.get("missing", 0):
        raise UserError(
            f"{missing:,} of {rows.num_rows:,} selected images have no features yet",
            key,
            "compute them with `item run DAG --until features`, then train again",
        )
    ok = rows.filter(pc.equal(rows["state"], "ok")).drop_columns("state")
    if not ok.num_rows:
        found = ", ".join(f"{count:,} {state}" for state, count in states.items()) or "no row"
        raise UserError(
            f"the predicate selects no usable image ({found})",
            key,
            '`item query DAG "select split, generator, label, count(*) from listing group by all"`'
            " shows what there is",
        )
    kept = _once(ok, unique.split(", "), key)
    notes = [f"{states[s]:,} {s} rows left out" for s in ("failed", "unlabelled") if s in states]
    if ok.num_rows > kept.num_rows:
        notes.append(f"{ok.num_rows - kept.num_rows:,} repeated files of the same images left out")
    return Rows(kept, sql, tuple(notes))


def _once(rows: pa.Table, unique: list[str], key: str) -> pa.Table:
    """The first row of each `unique` of sorted rows; UserError when an image has two labels."""
    labels = rows.group_by("image_id").aggregate([("label", "min"), ("label", "max")])
    torn = labels.filter(pc.not_equal(labels["label_min"], labels["label_max"]))["image_id"]
    if len(torn):
        raise UserError(
            f"{len(torn):,} images are labelled both real and fake, such as {_some(torn)}",
            key,
            "the same bytes lie in a real and in a fake folder: mend the corpus, or exclude them",
        )
    first = np.ones(rows.num_rows, bool)
    if rows.num_rows > 1:
        same = [_equal_to_previous(rows[column]) for column in unique]
        first[1:] = ~np.logical_and.reduce(same)
    return rows.filter(pa.array(first)).combine_chunks()


def _equal_to_previous(column: pa.ChunkedArray) -> np.ndarray:
    codes = pc.fill_null(column.combine_chunks().dictionary_encode().indices, -1).to_numpy()
    return codes[1:] == codes[:-1]


def _check_apart(train: Rows, test: Rows, key: str) -> None:
    both = test.table.filter(pc.is_in(test.table["image_id"], value_set=train.table["image_id"]))
    if both.num_rows:
        ids = pc.unique(both["image_id"])
        raise UserError(
            f"{len(ids):,} images are in both training and test, such as {_some(ids)}",
            key,
            "say `split = …` in both predicates, or leave `test` out to test on all other images",
        )


def _some(ids: pa.ChunkedArray | pa.Array) -> str:
    return ", ".join(ids.slice(0, 3).to_pylist())


def gather(connection: "DuckDBPyConnection", image_ids: pa.ChunkedArray) -> dict[str, np.ndarray]:
    """Matrices for these images, in their order, an image once or often; float32.

    `global`, `local` [n, d]: the representations D (`local` is zeros for an image whose caption
    names no object); `image_embedding` [n, d]; `cosine_global` [n, 1]. Raises UserError when
    vectors differ in width or are not finite, or when a view gives an image several rows.
    """
    columns = {
        "global": "features.global",
        "local": "features.local",
        "image_embedding": "image_embeddings.embedding",
        "cosine_global": "features.cosine_global",
    }
    matrices = {}
    with positions(connection, image_ids) as (count, codes):
        for name, path in columns.items():
            view, _, column = path.partition(".")
            sql = (
                f'select position, "{column}" as x from {view} join item_positions using (image_id)'
            )
            matrices[name] = matrix(connection, sql, path, count)[codes]
    return matrices


@contextmanager
def positions(
    connection: "DuckDBPyConnection", image_ids: pa.ChunkedArray
) -> Iterator[tuple[int, np.ndarray | slice]]:
    """Lends the connection a table `item_positions`: image_id, position; an image once.

    Gives the number of distinct images, and what takes a matrix of them to all `image_ids`.
    """
    encoded = image_ids.combine_chunks().dictionary_encode()  # ids in the order they come first
    ids, codes = encoded.dictionary, encoded.indices.to_numpy()
    lent = pa.table({"image_id": ids, "position": np.arange(len(ids))})
    connection.register("item_positions", lent)
    try:
        yield len(ids), slice(None) if len(ids) == len(codes) else codes
    finally:
        connection.unregister("item_positions")


def matrix(connection: "DuckDBPyConnection", sql: str, name: str, rows: int) -> np.ndarray:
    """float32 [rows, width] from a select of position and x (vector or number); zeros where null.

    `name` says in messages where x comes from, as view.column.
    """
    view, _, column = name.partition(".")
    data = query(connection, sql, view, "`item query DAG nodes` shows what the view is made of")
    if data.num_rows != rows:
        raise UserError(f"{view} has {data.num_rows:,} rows for {rows:,} images", view)
    filled = data.filter(pc.is_valid(data["x"])) if data["x"].null_count else data
    vector = not pa.types.is_floating(data["x"].type)
    values = np.zeros((rows, _width(data["x"], view, column) if vector else 1), np.float32)
    for batch in filled.to_batches():
        flat = batch["x"].flatten() if vector else batch["x"]
        block = flat.to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
        values[batch["position"].to_numpy()] = block
    if not np.isfinite(values).all():
        raise UserError(
            f"{name} holds values that are not finite",
            view,
            f'find them with `item query DAG "select * from {view} where …"` and exclude them',
        )
    return values


def _width(column: pa.ChunkedArray, view: str, name: str) -> int:
    if pa.types.is_fixed_size_list(column.type):
        return column.type.list_size
    widths = pc.unique(pc.list_value_length(column)).drop_null().to_pylist()
    if len(widths) > 1:
        raise UserError(
            f"the vectors of {view}.{name} have different widths: {sorted(widths)}",
            view,
            "they come from different CLIP models: give each its own node, and train on one",
        )
    return widths[0] if widths else 0


def query(connection: "DuckDBPyConnection", sql: str, where: str, hint: str) -> pa.Table:
    """The rows of one select; DuckDB's own message for a wrong one, with the nearest column."""
    try:
        if len(connection.extract_statements(sql)) != 1:
            raise UserError("a predicate is one SQL condition, not several statements", where, hint)
        return connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        message = str(error).strip()
        column = re.search(r'Referenced column "([^"]+)" not found', message)
        if column:
            hint = f"{nearest(column[1], COLUMNS)} (text goes between single quotes: 'gan')"
        raise UserError(message, where, hint) from error
