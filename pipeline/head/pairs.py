"""Pairs of what is seen and what is said, out of the cached embeddings.

Reads the views `captions`, `objects`, `image_embeddings`, `object_embeddings` and
`text_embeddings`. Images meet objects by key, and a text meets its embedding by the text itself.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.head.data import query
from pipeline.relations import literal
from pipeline.tables import matrix

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# All need the table `item_positions` that `data.positions` lends. A text is embedded once in each
# part that has it: of vectors that differ by rounding at most the least one is taken, always.
_TEXTS = """
texts as (
    select text, min(embedding) as embedding, min(norm) as norm
    from text_embeddings
    where embedding is not null
    group by text
)
"""
_GLOBAL = f"""
with {_TEXTS}
select
    position,
    image_embeddings.embedding as visual,
    image_embeddings.norm as visual_norm,
    captions.caption as text,
    texts.embedding as textual,
    texts.norm as textual_norm
from item_positions
join image_embeddings using (image_id)
join captions using (image_id)
left join texts on texts.text = captions.caption
where image_embeddings.embedding is not null and captions.error is null
order by position
"""
_LOCAL = f"""
with {_TEXTS}
select
    position,
    object_embeddings.embedding as visual,
    object_embeddings.norm as visual_norm,
    {{text}} as text,
    texts.embedding as textual,
    texts.norm as textual_norm
from item_positions
join objects using (image_id)
join object_embeddings using (image_id, object_no)
left join texts on texts.text = {{text}}
where object_embeddings.embedding is not null and objects.error is null
order by position, object_no
"""


@dataclass(frozen=True)
class Pairs:
    """m pairs: `visual` and `textual` float32 [m, d], of unit length to float32's resolution.

    `position` int64 [m], ascending: the image's row. `visual_norm`, `textual_norm` float32 [m, 1]:
    the lengths that the embeddings had before they were normalised.
    """

    position: np.ndarray
    visual: np.ndarray
    textual: np.ndarray
    visual_norm: np.ndarray
    textual_norm: np.ndarray


def global_pairs(connection: "DuckDBPyConnection", count: int) -> Pairs:
    """Each of the `count` images of `item_positions` with its caption.

    Raises UserError when an image or its caption has no embedding, or two views differ in width.
    """
    pairs = _pairs(connection, _GLOBAL)
    if len(pairs.position) != count:
        raise UserError(
            f"{count - len(pairs.position):,} of {count:,} images lack an image embedding or a "
            "caption",
            "image_embeddings, captions",
            "compute them with `item run DAG`, then train again",
        )
    return pairs


def local_pairs(connection: "DuckDBPyConnection", phrase_template: str = "{}") -> Pairs:
    """Each object of these images that has a region embedding, with its phrase.

    `phrase_template` is the one of the node that embedded the texts. An image whose caption names
    no object has no pair, and an object that failed has none. Raises UserError when a phrase has
    no embedding.
    """
    before, after = (literal(text) for text in phrase_template.split("{}"))
    return _pairs(connection, _LOCAL.format(text=f"({before} || objects.phrase || {after})"))


def _pairs(connection: "DuckDBPyConnection", sql: str) -> Pairs:
    rows = query(connection, sql, "text_embeddings", "`item query DAG nodes` shows its nodes")
    lost = rows.filter(pc.is_null(rows["textual"]))["text"]
    if len(lost):
        raise UserError(
            f"{len(lost):,} texts have no embedding, such as '{lost[0].as_py()}'",
            "text_embeddings",
            "the experiment's `phrase_template` must be that of the node that embedded the texts",
        )
    visual, textual = (_unit(rows[name]) for name in ("visual", "textual"))
    if len(rows) and visual.shape[1] != textual.shape[1]:
        raise UserError(
            f"images have {visual.shape[1]} numbers and texts {textual.shape[1]}",
            "image_embeddings, text_embeddings",
            "they come from different CLIP models: compare those of one",
        )
    norms = (rows[f"{name}_norm"].to_numpy() for name in ("visual", "textual"))
    lengths = (norm.astype(np.float32)[:, None] for norm in norms)
    return Pairs(rows["position"].to_numpy(), visual, textual, *lengths)


def _unit(column: pa.ChunkedArray) -> np.ndarray:
    """float32 [m, d]: float16 storage moves a length by up to 5e-4; here it is 1 again."""
    vectors, _ = matrix(column)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
