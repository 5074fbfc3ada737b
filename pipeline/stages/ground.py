"""ground: where in the image each object of the caption is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from pipeline import tables
from pipeline.models.clip import patches
from pipeline.models.clip.clip import ClipSpec
from pipeline.models.detectors.spec import DetectorSpec
from pipeline.models.precision import Precision
from pipeline.spec import ModelName, Parameters, Stage, tuning
from pipeline.stages.shared.batching import Size
from pipeline.stages.shared.failure_reasons import reasons
from pipeline.stages.shared.locate_by_clip import by_patches, by_windows
from pipeline.stages.shared.locate_by_detector import by_detector
from pipeline.stages.shared.objects_by_image import PerImage
from pipeline.stages.shared.phrases import check_template, fill

Method = Literal["whole", "patches", "windows", "owlv2", "grounding-dino"]

_DETECTORS = ("owlv2", "grounding-dino")
_TEMPLATE = {"phrase_template": "{}"}
_DETECTOR = {"precision": "fp32", "trust_remote_code": False, "device": "auto"}
# what each method takes beside what it needs, and the value where none is given
_DEFAULTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "patches": {**_TEMPLATE, "threshold": 0.75},
    "windows": {**_TEMPLATE, "scales": (0.33, 0.5, 0.75), "overlap": 0.5},
    "owlv2": {**_TEMPLATE, **_DETECTOR},
    "grounding-dino": {**_TEMPLATE, **_DETECTOR},
}
_NEEDS = {"patches": "clip", "windows": "clip", "owlv2": "model", "grounding-dino": "model"}
_SUCH_AS = {
    "clip": "the CLIP that scores regions, such as {model: ViT-L-14, pretrained: openai}",
    "model": "a folder (./PATH or local-dir:PATH), or a name on the Hugging Face hub",
}
_ANYWHERE = {"method", "batch_size", "threads"}


class GroundParameters(Parameters):
    """How objects are located. A key that the method does not use is an error.

    `whole`: the whole image. All others look up `phrase_template` with the phrase in it.
    `patches`: CLIP's own dense features; `threshold` (0.75) says how far below its best patch a
    region reaches (see `pipeline.models.clip.patches.patches`).
    `windows`: crops scored by CLIP; `scales` (0.33, 0.5, 0.75 of the shorter edge) and the least
    `overlap` of neighbours (0.5) lay them out (see `pipeline.models.clip.windows.layout`).
    `owlv2`, `grounding-dino`: zero-shot detection by the transformers checkpoint `model`.
    """

    method: Method
    clip: ClipSpec | None = None
    model: ModelName | None = None
    phrase_template: str | None = None
    threshold: float | None = Field(None, ge=0, le=1)
    scales: tuple[float, ...] | None = Field(None, min_length=1)
    overlap: float | None = Field(None, ge=0, lt=1)
    precision: Precision | None = None
    trust_remote_code: bool | None = None
    device: str | None = tuning(None)
    batch_size: Size = tuning("auto")  # images; of `windows`, crops
    threads: int | None = tuning(None, ge=1)  # that decode images

    @field_validator("phrase_template")
    @classmethod
    def _template(cls, template: str | None) -> str | None:
        return None if template is None else check_template(template)

    @field_validator("scales")
    @classmethod
    def _fractions(cls, scales: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if scales is not None and not all(0 < scale <= 1 for scale in scales):
            raise ValueError("scales are fractions of the shorter edge, above 0 and at most 1")
        return scales

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """The method's defaults; what other methods take stays null."""
        if not isinstance(given, dict) or given.get("method") not in _DEFAULTS:
            return given
        named = {key: value for key, value in given.items() if value is not None}
        return {**_DEFAULTS[given["method"]], **named}

    @model_validator(mode="after")
    def _check(self) -> "GroundParameters":
        needed = _NEEDS.get(self.method)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"`method: {self.method}` needs a `{needed}`, {_SUCH_AS[needed]}")
        known = {*_ANYWHERE, *_DEFAULTS[self.method], needed}
        for name in type(self).model_fields:
            if name not in known and getattr(self, name) is not None:
                raise ValueError(f"`method: {self.method}` does not use `{name}`: leave it out")
        return self


def _models(parameters: GroundParameters) -> tuple[ClipSpec | DetectorSpec, ...]:
    if parameters.method in _DETECTORS:
        names = ("model", "precision", "trust_remote_code", "device")
        chosen = {name: getattr(parameters, name) for name in names}
        return (DetectorSpec(family=parameters.method, **chosen),)
    return (parameters.clip,) if parameters.clip is not None else ()


def run(
    inputs: Mapping[str, pa.Table], parameters: GroundParameters, models: Sequence[Any]
) -> pa.Table:
    """One row for each row of `objects`; an image without objects keeps its one empty row.

    A phrase that is nowhere has a row with a low score, never none. `whole` opens no image: what
    cannot be read has failed before, or fails where pixels count.
    """
    objects = inputs["objects"]
    boxes = np.full((len(objects), 4), np.nan, np.float32)
    scores = np.full(len(objects), np.nan, np.float32)
    errors = reasons("objects", objects["error"])
    wanted = pc.is_valid(objects["object_no"]).to_numpy() & np.equal(errors, None)
    if parameters.method == "whole":
        boxes[wanted], scores[wanted] = patches.whole(int(wanted.sum()))
    else:
        located = _locate(inputs["images"], objects, wanted, parameters, models[0], errors)
        for rows, image_boxes, image_scores in located:
            boxes[rows], scores[rows] = image_boxes, image_scores
    found = np.isfinite(boxes).all(1) & np.isfinite(scores)
    errors[wanted & ~found & np.equal(errors, None)] = "the region's score is not finite"
    columns = {"image_id": objects["image_id"], "object_no": objects["object_no"]}
    for corner, name in enumerate(("x0", "y0", "x1", "y1")):
        columns[name] = pa.array(boxes[:, corner].copy(), pa.float32(), mask=~found)
    columns["score"] = pa.array(scores, pa.float32(), mask=~found)
    return tables.build("regions", {**columns, "error": pa.array(errors, pa.string())})


def _locate(
    images: pa.Table,
    objects: pa.Table,
    wanted: np.ndarray,
    parameters: GroundParameters,
    model: Any,
    errors: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(object rows, boxes, scores) image by image; failures go into `errors`."""
    groups = PerImage(images, objects, wanted)
    texts = fill(parameters.phrase_template, objects["phrase"])
    how = (parameters.batch_size, parameters.threads, errors)
    if parameters.method == "patches":
        return by_patches(groups, texts, model, parameters.threshold, *how)
    if parameters.method == "windows":
        layout = (parameters.scales, parameters.overlap)
        return by_windows(groups, texts, model, layout, *how)
    return by_detector(groups, texts, model, *how)


STAGE = Stage("ground", 3, ("images", "objects"), "regions", GroundParameters, run, _models)
