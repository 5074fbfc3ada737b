"""What an experiment's images have in the cache: matrices of a part.

They come from the tables `features` and `image_embeddings`.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.head.vectors.parts import Part

SCALARS = (
    *("cosine_global", "distance_global", "cosine_local", "distance_local"),
    "num_objects",
)


_CACHED = {
    "global": ("features", "global"),
    "local": ("features", "local"),
    "image": ("image_embeddings", "embedding"),
    "cosine_global": ("features", "cosine_global"),
}


def gather(part: Part, names: set[str]) -> dict[str, np.ndarray]:
    """Matrices of a part's images, in their order, a row an image: those of `names` that are here.

    `global`, `local` float16 [m, d]: the representations D (`local` is zeros for an image whose
    caption names no object); `image_embedding` float16 [m, d]; `cosine_global` float32 [m, 1];
    `scalars` float32 [m, 6]: `SCALARS`, zeros where there is no object, and a last column that is 1
    where there is one, so that a distance of 0 is not taken for perfect alignment; `raw_image`
    float32 [m, d]: the image embedding at the length that it had before it was normalised. Raises
    UserError when a number is not finite, or a table has not one row an image.
    """
    wanted = {name: place for name, place in _CACHED.items() if name in names}
    columns: dict[str, list[str]] = {}
    for table, column in wanted.values():
        columns.setdefault(table, []).append(column)
    if "scalars" in names:
        columns.setdefault("features", []).extend(SCALARS)
    if "raw_image" in names:
        columns.setdefault("image_embeddings", []).extend(("embedding", "norm"))
    tables = {table: part.one(table, sorted(set(some))) for table, some in columns.items()}
    found = {name: matrix(tables[table], table, column) for name, (table, column) in wanted.items()}
    if "scalars" in names:
        each = [matrix(tables["features"], "features", name) for name in SCALARS]
        there = pc.is_valid(tables["features"]["distance_local"]).to_numpy()
        each.append(there.astype(np.float32)[:, None])
        found["scalars"] = np.concatenate(each, axis=1)
    if "raw_image" in names:
        parts = (
            matrix(tables["image_embeddings"], "image_embeddings", column).astype(np.float32)
            for column in ("embedding", "norm")
        )
        unit, length = parts
        found["raw_image"] = unit * length
    return found


def matrix(data: pa.Table, table: str, column: str) -> np.ndarray:
    """A column of vectors as float16 [m, width], one of numbers as float32 [m, 1]; null: zeros.

    `table` says in messages where it comes from. Raises UserError for what is not finite.
    """
    values = data[column].combine_chunks()
    if pa.types.is_fixed_size_list(values.type):
        x, valid = half(values)
        finite = (x.view(np.uint16) & 0x7C00) != 0x7C00  # the exponent is not all ones
        if values.null_count:
            finite[~valid] = True
            x = np.where(valid[:, None], x, np.float16(0))
    else:
        x = pc.fill_null(values.cast(pa.float32()), 0).to_numpy()[:, None]
        finite = np.isfinite(x)
    if not finite.all():
        raise UserError(
            f"{table}.{column} holds values that are not finite",
            table,
            f'find them with `item query DAG "select * from {table} where …"` and exclude them',
        )
    return x


def half(values: pa.FixedSizeListArray) -> tuple[np.ndarray, np.ndarray]:
    """float16 [m, d], without a copy and read-only, and bool [m]: where there is a vector.

    Rows without one hold anything.
    """
    width, buffer = values.type.list_size, values.values.buffers()[1]
    start = (values.offset * width + values.values.offset) * 2
    count = len(values) * width
    flat = np.frombuffer(buffer, np.float16, count, start) if count else np.empty(0, np.float16)
    return flat.reshape(len(values), width), values.is_valid().to_numpy(zero_copy_only=False)
