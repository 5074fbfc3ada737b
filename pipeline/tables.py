"""The tables: their columns, and the few helpers that build and read them.

Every image of a part appears in every table of that part. A row that failed keeps its key, a null
payload and `error`. In the one-to-many tables (`objects`, `regions`, `object_embeddings`) an image
whose caption names no object, or that failed before, is one row with a null `object_no`.
"""

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipeline.errors import UserError

# what a row was made from, as 8 bytes: beside the declared columns in every part, but in no view
MADE_FROM = "made_from"

EMBEDDING = "embedding"  # stands for fixed_size_list<float16>[d] in the declarations below

_IMAGE_KEY = {"image_id": pa.string()}
_OBJECT_KEY = {"image_id": pa.string(), "object_no": pa.int32()}
_ERROR = {"error": pa.string()}

COLUMNS: dict[str, dict[str, pa.DataType | str]] = {
    "listing": {
        "uri": pa.string(),
        "image_id": pa.string(),  # null when the file could not be read
        "label": pa.int8(),  # 0 real, 1 fake, null unknown
        "generator": pa.string(),
        "dataset": pa.string(),
        "split": pa.string(),
        "class_name": pa.string(),
        "released": pa.string(),  # when the generator was, YYYY-MM-DD
        "bytes": pa.int64(),
        "width": pa.int32(),  # pixels, as stored (before the EXIF orientation is applied)
        "height": pa.int32(),
        "format": pa.string(),  # sniffed from the content, never from the extension
        "mode": pa.string(),
        "orientation": pa.int8(),  # EXIF 1..8
        "jpeg_quality": pa.int16(),  # libjpeg's scale, estimated from the tables; JPEG only
        "jpeg_tables": pa.string(),  # names the quantisation tables; JPEG only
        "has_exif": pa.bool_(),  # before the pixels
        "decode_bytes": pa.int64(),  # of memory that decoding takes at most, by the header
        "sha256": pa.string(),
        "given_caption": pa.string(),  # that came with the file, from a column or a file beside it
        "stamp": pa.string(),  # the file's time of change in ns, or its etag; null: not known
        **_ERROR,
    },
    "images": {
        **_IMAGE_KEY,
        "variant": pa.string(),
        "bytes": pa.int64(),
        "width": pa.int32(),
        "height": pa.int32(),
        "format": pa.string(),
        "mode": pa.string(),
        "orientation": pa.int8(),
        "jpeg_quality": pa.int16(),
        "jpeg_tables": pa.string(),
        "has_exif": pa.bool_(),
        "sha256": pa.string(),
        **_ERROR,
    },
    "captions": {
        **_IMAGE_KEY,
        "caption": pa.string(),
        "num_tokens": pa.int32(),
        "mean_logprob": pa.float32(),  # nats per generated token
        **_ERROR,
    },
    "objects": {
        **_OBJECT_KEY,
        "phrase": pa.string(),
        "head": pa.string(),
        "start": pa.int32(),  # character offsets in the caption
        "end": pa.int32(),
        **_ERROR,
    },
    "regions": {
        **_OBJECT_KEY,
        "x0": pa.float32(),  # fractions of the upright image
        "y0": pa.float32(),
        "x1": pa.float32(),
        "y1": pa.float32(),
        "score": pa.float32(),
        **_ERROR,
    },
    "image_embeddings": {**_IMAGE_KEY, "embedding": EMBEDDING, "norm": pa.float32(), **_ERROR},
    "text_embeddings": {
        "text_id": pa.string(),
        "text": pa.string(),
        "embedding": EMBEDDING,
        "norm": pa.float32(),
        "truncated": pa.bool_(),
        **_ERROR,
    },
    "object_embeddings": {**_OBJECT_KEY, "embedding": EMBEDDING, "norm": pa.float32(), **_ERROR},
    "misalignment": {
        **_IMAGE_KEY,
        "level": pa.string(),  # 'global' or 'local'
        "object_no": pa.int32(),  # null on the global row
        "phrase": pa.string(),  # as in objects: what is asked of objects needs no other table
        "head": pa.string(),
        "cosine": pa.float32(),
        "distance": pa.float32(),  # |v/|v| - t/|t||
        **_ERROR,
    },
    "features": {
        **_IMAGE_KEY,
        "global": EMBEDDING,
        "local": EMBEDDING,  # mean over the objects; null when the caption names none
        "num_objects": pa.int32(),
        "cosine_global": pa.float32(),
        "distance_global": pa.float32(),
        "cosine_local": pa.float32(),
        "distance_local": pa.float32(),
        **_ERROR,
    },
}


_PLAIN = (
    *(pa.string(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.float32(), pa.float64()),
)
OWN = frozenset(COLUMNS)  # tables of `item`'s own: all others are of plugins


def declare(table: str, columns: Mapping[str, pa.DataType | str]) -> None:
    """Makes a table of a plugin known: image_id, these columns, and error.

    With a column `object_no` (int32) it has rows for each object, else one for each image. A second
    declaration takes the place of the first. ValueError for a name that is taken, and for columns
    that are none.
    """
    if table in OWN:
        raise ValueError(f"'{table}' is a table of item's own, which has its columns already")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", table):
        raise ValueError(f"'{table}' is no name of a table: small letters, digits and _")
    for name, kind in columns.items():
        if name in ("image_id", "error", MADE_FROM):
            raise ValueError(f"'{name}' is there in every table")
        if kind != EMBEDDING and kind not in _PLAIN:
            types = ", ".join(map(str, _PLAIN))
            raise ValueError(f"'{name}' is {kind!r}, and not '{EMBEDDING}' or one of {types}")
    COLUMNS[table] = {**_IMAGE_KEY, **columns, **_ERROR}


def schema(table: str, width: int | None = None) -> pa.Schema:
    """The Arrow schema of `table`; `width` is the embedding width d of a table with vectors."""
    fields = []
    for name, kind in COLUMNS[table].items():
        if isinstance(kind, str):
            if width is None:
                raise ValueError(f"table {table} has vectors: its schema needs their width")
            kind = pa.list_(pa.float16(), width)
        fields.append(pa.field(name, kind))
    return pa.schema(fields)


def build(table: str, columns: dict[str, object], width: int | None = None) -> pa.Table:
    """A table of the declared schema from columns by name (lists or arrays; missing: null)."""
    target = schema(table, width)
    unknown = set(columns) - set(target.names)
    if unknown:
        raise ValueError(f"table {table} has no column {sorted(unknown)}")
    rows = max((len(values) for values in columns.values()), default=0)  # type: ignore[arg-type]
    arrays = []
    for field in target:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(values, (pa.Array, pa.ChunkedArray)):
            arrays.append(values if values.type == field.type else values.cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=target)


def check(table: str, data: pa.Table) -> None:
    """Raises ValueError unless `data` has exactly the columns and types declared for `table`.

    `MADE_FROM` may be there.
    """
    data = declared(data)
    for name, kind in COLUMNS[table].items():
        if name not in data.column_names:
            raise ValueError(f"table {table} lacks the column {name}")
        have = data.schema.field(name).type
        if isinstance(kind, str):
            if not (pa.types.is_fixed_size_list(have) and have.value_type == pa.float16()):
                raise ValueError(f"{table}.{name} is {have}, not a fixed-size list of float16")
        elif have != kind:
            raise ValueError(f"{table}.{name} is {have}, not {kind}")
    if data.num_columns != len(COLUMNS[table]):
        raise ValueError(f"table {table} has undeclared columns: {data.column_names}")


def declared(data: pa.Table) -> pa.Table:
    """The table without `MADE_FROM`."""
    return data.drop_columns(MADE_FROM) if MADE_FROM in data.column_names else data


def vectors(values: np.ndarray, valid: np.ndarray | None = None) -> pa.FixedSizeListArray:
    """Float [n, d] as fixed_size_list<float16>[d]; null where `valid` (bool [n]) is false."""
    flat = pa.array(np.ascontiguousarray(values, np.float16).reshape(-1))
    mask = None if valid is None else pa.array(~np.asarray(valid, bool))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=mask)


def matrix(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """A vector column as float32 [n, d] (zeros where null) and bool [n] (true where not null)."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # zero chunks stay chunked
        column = pa.array([], column.type)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    width = column.type.list_size
    start = column.offset * width
    flat = column.values.to_numpy(zero_copy_only=False)[start : start + len(column) * width]
    dense = flat.reshape(len(column), width).astype(np.float32)
    dense[~valid] = 0.0
    return dense, valid


def width_of(column: pa.ChunkedArray | pa.Array) -> int:
    """The embedding width d of a vector column."""
    return int(column.type.list_size)


def same_width(**columns: pa.ChunkedArray | pa.Array) -> int:
    """The common width of several vector columns; UserError naming them when they differ."""
    widths = {name: width_of(column) for name, column in columns.items()}
    if len(set(widths.values())) > 1:
        raise UserError(
            f"embeddings of different widths cannot be compared: {widths}",
            hint="give the nodes that are compared the same clip model",
        )
    return next(iter(widths.values()))
