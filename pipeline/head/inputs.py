"""What the baselines read beside the features: the caption's text, and the file's own facts.

Reads the views `captions`, `text_embeddings` and `images`; rows meet by image_id, and a caption
meets its embedding by its text.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.head.data import matrix, positions, query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# A text is embedded once in each part that has it, so several rows may hold the same text. Their
# vectors differ by rounding at most; the least one is taken, so that it is always the same.
_CAPTION = """
select position, min(embedding) as x
from item_positions
join captions using (image_id)
join text_embeddings on text_embeddings.text = captions.caption
group by position
"""
_FACTS = """
select
    position,
    bytes,
    width,
    height,
    bytes / (width * height) as bytes_per_pixel,
    jpeg_quality,
    format
from item_positions
join images using (image_id)
order by position
"""
_NUMBERS = ("bytes", "width", "height", "bytes_per_pixel", "jpeg_quality")


def gather_beside(
    connection: "DuckDBPyConnection", image_ids: pa.ChunkedArray
) -> dict[str, np.ndarray]:
    """Matrices for these images, in their order, an image once or often; float32.

    `caption_embedding` [n, d]: the unit text embedding of the whole caption. `metadata` [n, 5 + f]:
    bytes, width and height (pixels as stored), bytes per pixel, JPEG quality (0 for what is no
    JPEG), and a column of 0 and 1 for each of the f formats among the images, by name. Raises
    UserError when an image's caption has no embedding, or an image no row.
    """
    with positions(connection, image_ids) as (count, codes):
        caption = matrix(connection, _CAPTION, "text_embeddings.embedding", count)
        facts = query(connection, _FACTS, "images", "`item query DAG nodes` shows its nodes")
    if facts.num_rows != count:
        raise UserError(f"images has {facts.num_rows:,} rows for {count:,} images", "images")
    return {"caption_embedding": caption[codes], "metadata": _metadata(facts)[codes]}


def _metadata(facts: pa.Table) -> np.ndarray:
    formats = pc.fill_null(facts["format"], "").to_numpy()
    numbers = [pc.fill_null(facts[name].cast(pa.float32()), 0).to_numpy() for name in _NUMBERS]
    one_hot = [formats == name for name in np.unique(formats)]
    return np.stack([*numbers, *one_hot], axis=1).astype(np.float32)
