"""ground: where in the image each object of the caption is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from pydantic import Field, field_validator, model_validator

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.models import grounder
from pipeline.models.clip import Clip, ClipSpec, unit, unit_rows
from pipeline.stages import Parameters, Stage, tuning
from pipeline.stages.batching import Size, infer
from pipeline.stages.inherit import reasons
from pipeline.stages.per_image import PerImage
from pipeline.stages.phrases import check_template, fill


class GroundParameters(Parameters):
    """How objects are located: `whole` image, or CLIP's own `patches`.

    The rest is for `patches`: its CLIP, the template around a phrase, and how far below its best
    patch a region reaches (see `pipeline.models.grounder.patches`).
    """

    method: Literal["whole", "patches"]
    clip: ClipSpec | None = None
    phrase_template: str = "{}"
    threshold: float = Field(0.75, ge=0, le=1)
    batch_size: Size = tuning("auto")  # images
    threads: int | None = tuning(None, ge=1)  # that decode images

    _template = field_validator("phrase_template")(check_template)

    @model_validator(mode="after")
    def _patches_need_clip(self) -> "GroundParameters":
        if self.method == "patches" and self.clip is None:
            raise ValueError("`method: patches` needs a `clip`")
        return self


def _models(parameters: GroundParameters) -> tuple[ClipSpec, ...]:
    needs_clip = parameters.method == "patches" and parameters.clip is not None
    return (parameters.clip,) if needs_clip else ()


def run(
    inputs: Mapping[str, pa.Table], parameters: GroundParameters, models: Sequence[Clip]
) -> pa.Table:
    """One row for each row of `objects`; an image without objects keeps its one empty row.

    `whole` opens no image: what cannot be read has failed before, or fails where pixels count.
    """
    objects = inputs["objects"]
    boxes = np.full((len(objects), 4), np.nan, np.float32)
    scores = np.full(len(objects), np.nan, np.float32)
    errors = reasons("objects", objects["error"])
    wanted = pc.is_valid(objects["object_no"]).to_numpy() & np.equal(errors, None)
    if parameters.method == "whole":
        boxes[wanted], scores[wanted] = grounder.whole(int(wanted.sum()))
    else:
        located = _patches(inputs["images"], objects, wanted, parameters, models[0], errors)
        for rows, image_boxes, image_scores in located:
            boxes[rows], scores[rows] = image_boxes, image_scores
    found = np.isfinite(boxes).all(1) & np.isfinite(scores)
    errors[wanted & ~found & np.equal(errors, None)] = "the region's score is not finite"
    columns = {"image_id": objects["image_id"], "object_no": objects["object_no"]}
    for corner, name in enumerate(("x0", "y0", "x1", "y1")):
        columns[name] = pa.array(boxes[:, corner].copy(), pa.float32(), mask=~found)
    columns["score"] = pa.array(scores, pa.float32(), mask=~found)
    return tables.build("regions", {**columns, "error": pa.array(errors, pa.string())})


def _patches(
    images: pa.Table,
    objects: pa.Table,
    wanted: np.ndarray,
    parameters: GroundParameters,
    clip: Clip,
    errors: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(object rows, boxes, scores) image by image; failures go into `errors`."""
    groups = PerImage(images, objects, wanted)
    texts = fill(parameters.phrase_template, objects["phrase"]).combine_chunks()
    coded = texts.dictionary_encode()
    phrases = _encode(clip, coded.dictionary.to_pylist(), parameters.batch_size)
    phrase_of = pc.fill_null(coded.indices, -1).to_numpy()

    def prepare(_: int, image: Image.Image) -> tuple[Any, tuple[float, float, float, float]]:
        return clip.prepare(image), clip.visible(image.size)

    def model(batch: list[tuple[Any, Any]]) -> tuple[Any, tuple[int, int], list[Any]]:
        return *clip.encode_patches([pixels for pixels, _ in batch]), [part for _, part in batch]

    def finish(encoded: tuple[Any, tuple[int, int], list[Any]]) -> Iterator[Any]:
        features, grid, visible = encoded
        return ((dense, grid, part) for dense, part in zip(unit(features)[0], visible, strict=True))

    unread: list[str | None] = [None] * len(groups.images)
    decoded = decode(groups.images, parameters.threads, prepare)
    found = infer(decoded, parameters.batch_size, clip, model, unread, finish)
    for image, (dense, grid, visible) in found:
        of_image = groups.rows[image]
        boxes, scores = grounder.patches(
            dense, grid, phrases[phrase_of[of_image]], parameters.threshold
        )
        yield of_image, grounder.to_image(boxes, visible), scores
    groups.spread(unread, errors)


def _encode(clip: Clip, texts: list[str], size: Size) -> np.ndarray:
    """Unit vectors float32 [n, d] of texts."""
    vectors = np.zeros((len(texts), clip.width), np.float32)
    items = ((row, text, None) for row, text in enumerate(texts))

    def encode(batch: list[str]) -> Any:
        return clip.encode_texts(batch)[0]

    for row, (embedding, _) in infer(items, size, clip, encode, [], unit_rows):
        vectors[row] = embedding
    return vectors


STAGE = Stage("ground", 1, ("images", "objects"), "regions", GroundParameters, run, _models)
