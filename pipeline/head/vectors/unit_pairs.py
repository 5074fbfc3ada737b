"""Pairs of what is seen and what is said, out of the cached embeddings of a part.

From the tables `captions`, `objects`, `image_embeddings`, `object_embeddings` and
`text_embeddings`. Images meet objects by key, and a text meets its embedding by the text itself.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.head.vectors.gather import half
from pipeline.head.vectors.parts import Part


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


def global_pairs(part: Part) -> Pairs:
    """Each image of a part with its caption.

    Raises UserError when an image or its caption has no embedding, or two tables differ in width.
    """
    images = part.one("image_embeddings", ["embedding", "norm"])
    captions = part.one("captions", ["caption", "error"])
    there = pc.and_(pc.is_valid(images["embedding"]), pc.is_null(captions["error"]))
    if lost := len(part) - pc.sum(there).as_py():
        raise UserError(
            f"{lost:,} of {len(part):,} images of {part.name} lack an image embedding or a caption",
            "image_embeddings, captions",
            "compute them with `item run DAG`, then train again",
        )
    return _pairs(part, np.arange(len(part)), images, captions["caption"])


def local_pairs(part: Part, phrase_template: str = "{}") -> Pairs:
    """Each object of a part's images that has a region embedding, with its phrase.

    `phrase_template` is the one of the node that embedded the texts. An image whose caption names
    no object has no pair, and an object that failed has none. Raises UserError when a phrase has
    no embedding.
    """
    objects = part.read("objects", ["object_no", "phrase", "error"])
    named = pc.and_(pc.is_valid(objects["object_no"]), pc.is_null(objects["error"]))
    regions = part.read("object_embeddings", ["object_no", "embedding", "norm"])
    seen = pc.and_(pc.is_valid(regions["object_no"]), pc.is_valid(regions["embedding"]))
    objects, regions = objects.filter(named), regions.filter(seen)
    keys = [_object_key(table) for table in (objects, regions)]
    _, own, theirs = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    objects, regions = objects.take(pa.array(own)), regions.take(pa.array(theirs))
    before, after = phrase_template.split("{}")
    phrases = pc.binary_join_element_wise(before, objects["phrase"], after, "")
    return _pairs(part, objects["position"].to_numpy().astype(np.int64), regions, phrases)


def _object_key(table: pa.Table) -> np.ndarray:
    """int64: in the order of the images, and within one in that of the caption."""
    number = table["object_no"].to_numpy().astype(np.int64)
    return (table["position"].to_numpy().astype(np.int64) << 32) + number


def _pairs(part: Part, position: np.ndarray, seen: pa.Table, said: pa.ChunkedArray) -> Pairs:
    texts = part.whole("text_embeddings", ["text", "embedding", "norm"])
    texts = texts.filter(pc.is_valid(texts["embedding"]))
    place = pc.index_in(said, value_set=texts["text"])
    if place.null_count:
        lost = said.filter(pc.is_null(place))
        raise UserError(
            f"{len(lost):,} texts of {part.name} have no embedding, such as '{lost[0].as_py()}'",
            "text_embeddings",
            "the experiment's `phrase_template` must be that of the node that embedded the texts",
        )
    textual, visual = _unit(texts["embedding"]), _unit(seen["embedding"])
    if visual.shape[1] != textual.shape[1]:
        raise UserError(
            f"images have {visual.shape[1]} numbers and texts {textual.shape[1]}",
            "image_embeddings, text_embeddings",
            "they come from different CLIP models: compare those of one",
        )
    chosen = place.to_numpy().astype(np.int64)
    lengths = (seen["norm"].to_numpy(), texts["norm"].to_numpy()[chosen])
    lengths = (length.astype(np.float32)[:, None] for length in lengths)
    return Pairs(position, visual, textual[chosen], *lengths)


def _unit(column: pa.ChunkedArray) -> np.ndarray:
    """float32 [m, d]: float16 storage moves a length by up to 5e-4; here it is 1 again."""
    vectors = half(column.combine_chunks())[0].astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
