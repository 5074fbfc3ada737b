"""Pairs of a visual and a textual unit vector, looked up by key."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.errors import UserError
from pipeline.stages.shared.failure_reasons import first, positions, reasons
from pipeline.stages.shared.phrases import fill

INPUTS = ("captions", "objects", "image_embeddings", "text_embeddings", "object_embeddings")


@dataclass(frozen=True)
class Pairs:
    """n pairs: `visual` and `textual` float32 [n, d], unit length, zero where `errors` is set.

    `image` int64 [n] is the row of the image in the part's captions table, `object_no` float64 [n]
    (NaN on global pairs), `errors` an object array of str or None.
    """

    image: np.ndarray
    object_no: np.ndarray
    visual: np.ndarray
    textual: np.ndarray
    errors: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """D = v/|v| - t/|t|, float32 [n, d]."""
        return self.visual - self.textual

    @property
    def cosine(self) -> np.ndarray:
        """The cosine of each pair, float32 [n]."""
        return np.einsum("nd,nd->n", self.visual, self.textual)

    @property
    def distance(self) -> np.ndarray:
        """|D|, float32 [n]: from the difference itself, since sqrt(2 - 2 cos) cancels digits."""
        return np.linalg.norm(self.difference, axis=1)


def width(inputs: Mapping[str, pa.Table]) -> int:
    """The embedding width d that all of them share; UserError when it differs."""
    named = {name: inputs[name]["embedding"] for name in INPUTS if name.endswith("_embeddings")}
    return tables.same_width(**named)


def global_pairs(inputs: Mapping[str, pa.Table]) -> Pairs:
    """Each image with its caption, in the order of the captions."""
    captions, images = inputs["captions"], inputs["image_embeddings"]
    place = positions(captions["image_id"], images["image_id"], "image_embeddings")
    visual = _Side(images, place, "image embedding")
    textual = _text_side(inputs["text_embeddings"], captions["caption"])
    no_caption = reasons("caption", captions["error"])
    errors = first(visual.errors, no_caption, textual.errors)
    rows = np.arange(len(captions))
    return _paired(rows, np.full(len(captions), np.nan), visual, textual, errors)


def local_pairs(inputs: Mapping[str, pa.Table], phrase_template: str) -> Pairs:
    """Each object's region with its phrase, in the order of the objects.

    Images whose caption names no object have no pair; images whose objects are missing because
    something failed have one pair with a null object_no and that error.
    """
    objects, embeddings = expected(inputs["objects"]), inputs["object_embeddings"]
    place = positions(
        _region_key(objects, embeddings), _object_key(embeddings), "object_embeddings"
    )
    visual = _Side(embeddings, place, "object embedding")
    textual = _text_side(inputs["text_embeddings"], fill(phrase_template, objects["phrase"]))
    errors = first(reasons("objects", objects["error"]), visual.errors, textual.errors)
    image = positions(objects["image_id"], inputs["captions"]["image_id"], "captions")
    number = objects["object_no"].to_numpy().astype(np.float64)
    return _paired(image, number, visual, textual, errors)


def expected(objects: pa.Table) -> pa.Table:
    """The rows of `objects` that have a local pair: all but those of captions that name none."""
    kept = pc.or_(pc.is_valid(objects["object_no"]), pc.is_valid(objects["error"]))
    return objects.filter(kept)


class _Side:
    """One side's vectors [n, d] at the places asked for, -1 meaning none."""

    def __init__(self, table: pa.Table, place: np.ndarray, what: str):
        # one row more than the table has, for -1 to land on
        dense, _ = tables.matrix(table["embedding"])
        self.vectors = np.concatenate([dense, np.zeros((1, dense.shape[1]), np.float32)])[place]
        why = np.append(reasons(what, table["error"]), f"no {what}")
        self.errors = why[place]


def _text_side(texts: pa.Table, wanted: pa.ChunkedArray) -> _Side:
    known = pc.is_in(wanted, value_set=texts["text"])
    lost = pc.and_(pc.invert(known), pc.is_valid(wanted))
    if pc.any(lost).as_py():
        example = pc.filter(wanted, lost)[0].as_py()
        raise UserError(
            f"the text '{example}' has no embedding",
            hint="misalign, features and embed_texts need the same captions, objects and "
            "phrase_template",
        )
    return _Side(texts, positions(wanted, texts["text"], "text_embeddings"), "text embedding")


def _object_key(table: pa.Table) -> pa.ChunkedArray:
    number = pc.fill_null(pc.cast(table["object_no"], pa.string()), "")
    return pc.binary_join_element_wise(table["image_id"], number, "/")


def _region_key(objects: pa.Table, embeddings: pa.Table) -> pa.ChunkedArray:
    """The key of each object's embedding: its own, or that of the one row of a failed image."""
    own = _object_key(objects)
    whole = pc.binary_join_element_wise(objects["image_id"], "", "/")
    failed = _object_key(embeddings.filter(pc.is_valid(embeddings["error"])))
    lost = pc.invert(pc.is_in(own, value_set=_object_key(embeddings)))
    return pc.if_else(pc.and_(lost, pc.is_in(whole, value_set=failed)), whole, own)


def _paired(
    image: np.ndarray, number: np.ndarray, visual: _Side, textual: _Side, errors: np.ndarray
) -> Pairs:
    failed = ~np.equal(errors, None)
    for side in (visual, textual):
        side.vectors[failed] = 0.0
        # float16 storage moves a length by up to 5e-4; what is compared has length 1 again
        lengths = np.linalg.norm(side.vectors, axis=1, keepdims=True)
        side.vectors /= np.where(lengths > 0, lengths, 1.0)
    return Pairs(image, number, visual.vectors, textual.vectors, errors)
