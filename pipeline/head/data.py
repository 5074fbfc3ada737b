"""The matrices of an experiment's images, out of the cache by Arrow.

Reads two views: `features` and `image_embeddings`. Nothing is aligned by position across files:
rows and vectors meet by image_id.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError, nearest
from pipeline.relations import identifier

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
SCALARS = (
    *("cosine_global", "distance_global", "cosine_local", "distance_local"),
    "num_objects",
)


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


def scalars(connection: "DuckDBPyConnection", image_ids: pa.ChunkedArray) -> np.ndarray:
    """float32 [n, 5]: `SCALARS` of these images, in their order; zeros where there is no object."""
    columns = []
    with positions(connection, image_ids) as (count, codes):
        for name in SCALARS:
            sql = (
                f"select position, {name}::float as x from features "
                "join item_positions using (image_id)"
            )
            columns.append(matrix(connection, sql, f"features.{name}", count))
    return np.concatenate(columns, axis=1)[codes]


def lengths(connection: "DuckDBPyConnection", image_ids: pa.ChunkedArray) -> np.ndarray:
    """float32 [n, 1]: the lengths of these images' embeddings before they were normalised."""
    sql = "select position, norm as x from image_embeddings join item_positions using (image_id)"
    with positions(connection, image_ids) as (count, codes):
        return matrix(connection, sql, "image_embeddings.norm", count)[codes]


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


def misspelt(connection: "DuckDBPyConnection", predicate: str) -> str:
    """The first text in a predicate that no listed file has, with the nearest one; or nothing."""
    texts = r"\b(generator|dataset|split|class_name)\s*=\s*'([^']*)'"
    for column, text in re.findall(texts, predicate):
        sql = f"select distinct {column} from listing where {column} is not null"
        known = [value for (value,) in connection.execute(sql).fetchall()]
        if text not in known:
            return f"no file has {column} '{text}': {nearest(text, known)} "
    return ""


def lacking(connection: "DuckDBPyConnection", image_ids: pa.ChunkedArray) -> str:
    """The nodes that have no row of some of these images, each with how many, in words."""
    sql = "select node from nodes where table_name not in ('listing', 'text_embeddings')"
    nodes = [name for (name,) in connection.execute(f"{sql} order by position").fetchall()]
    found = []
    with positions(connection, image_ids):
        for node in nodes:
            sql = f"select count(*) from item_positions anti join store.{identifier(node)} using"
            ((count,),) = connection.execute(f"{sql} (image_id)").fetchall()
            found += [f"{node} {count:,}"] if count else []
    return ", ".join(found)


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
