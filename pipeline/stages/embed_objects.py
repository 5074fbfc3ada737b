"""embed_objects: one unit vector for each object's region, cut out before CLIP's own transform."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, floor
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from pydantic import Field, model_validator

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.corpus.upright import attempt
from pipeline.models.clip.clip import Clip, ClipSpec
from pipeline.models.clip.pixels import Fit
from pipeline.models.transfer import Home
from pipeline.spec import Parameters, Stage, tuning
from pipeline.stages.embed_images import units
from pipeline.stages.shared.batching import Item, Limit, Size, Vectors, infer
from pipeline.stages.shared.failure_reasons import reasons
from pipeline.stages.shared.objects_by_image import PerImage

_PIXEL = 1e-3  # a box this little beyond a pixel's edge does not take in the next pixel


class EmbedObjectsParameters(Parameters):
    """The CLIP whose image tower is used, how much is left around a region, and how it is fitted.

    What CLIP sees has one shape, a square mostly. `fit` says how a region comes to it: `squash`
    resizes both sides, so that all of it is seen, distorted; `pad` resizes the longer side and
    fills the rest with the CLIP's mean colour (with what it pads with, where its own transform
    does); `crop` resizes the shorter side and cuts out the middle, as published CLIPs take whole
    images: of a region of 4:1 three quarters are lost.

    A phrase counts as not found when its region's score is below `min_score`; `not_found` says what
    is embedded then: the best `region` all the same, or the `whole` image. Without both of them,
    every region is embedded as it is. What a score means depends on how the regions were located:
    a cosine (`patches`, `windows`), a detector's probability (`owlv2`, `grounding-dino`), always 1
    (`whole`).
    """

    clip: ClipSpec
    margin: float = Field(0.0, ge=0)  # fraction of the box's own size, added on each side
    fit: Fit = "squash"
    min_score: float | None = Field(None, ge=-1, le=1)
    not_found: Literal["region", "whole"] | None = None
    batch_size: Size = tuning("auto")  # crops
    threads: int | None = tuning(None, ge=1)  # that decode images

    @model_validator(mode="after")
    def _both_or_neither(self) -> "EmbedObjectsParameters":
        if (self.min_score is None) != (self.not_found is None):
            raise ValueError(
                "`min_score` and `not_found` go together: below which score a phrase counts as not "
                "found, and what is embedded then (region or whole)"
            )
        return self


def crop(image: Image.Image, box: Sequence[float], margin: float = 0.0) -> Image.Image:
    """The pixels of `image` in `box` (x0, y0, x1, y1, fractions), rounded outward, at least one."""
    return image.crop(edges(image.size, box, margin))


def edges(
    size: tuple[int, int], box: Sequence[float], margin: float = 0.0
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of `crop` in pixels, of an image of `size` (width, height)."""
    x0, y0, x1, y1 = (float(value) for value in box)
    wide, high = margin * (x1 - x0), margin * (y1 - y0)
    left, right = _span(x0 - wide, x1 + wide, size[0])
    top, bottom = _span(y0 - high, y1 + high, size[1])
    return left, top, right, bottom


@dataclass(frozen=True)
class _Crops:
    """Prepares the regions of an image, in whatever process it was decoded."""

    prepare: Callable[[Image.Image], Any]
    margin: float

    def __call__(
        self, image: Image.Image, boxes: np.ndarray
    ) -> list[tuple[np.ndarray, Any, str | None]]:
        """(which of the boxes [k, 4], prepared crop, or why none) of each region.

        Objects may share one. A region that cannot be prepared costs no other.
        """
        members: dict[tuple[int, int, int, int], list[int]] = {}
        for number, box in enumerate(boxes):
            members.setdefault(edges(image.size, box, self.margin), []).append(number)
        return [
            (np.array(some), *attempt(lambda box=pixels: self.prepare(image.crop(box))))
            for pixels, some in members.items()
        ]


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    first = min(max(floor(start * length + _PIXEL), 0), length - 1)
    last = max(min(ceil(end * length - _PIXEL), length), first + 1)
    return first, last


def run(
    inputs: Mapping[str, pa.Table], parameters: EmbedObjectsParameters, models: Sequence[Clip]
) -> pa.Table:
    """One row for each row of `regions`; crops of many images share a batch."""
    (clip,) = models
    regions = inputs["regions"]
    vectors = Vectors(len(regions), clip.width)
    errors = reasons("region", regions["error"])
    has_object = pc.is_valid(regions["object_no"]).to_numpy()
    wanted = has_object & np.equal(errors, None)
    groups = PerImage(inputs["images"], regions, wanted)
    boxes = np.stack([regions[name].to_numpy() for name in ("x0", "y0", "x1", "y1")], axis=1)
    if parameters.not_found == "whole":
        boxes[regions["score"].to_numpy() < parameters.min_score] = 0, 0, 1, 1

    def crops() -> Iterator[Item]:
        """(row, prepared region, why there is none) of each wanted object."""
        prepare = _Crops(clip.fitted(parameters.fit), parameters.margin)
        given = [boxes[rows] for rows in groups.rows]
        beside = limit.beside()
        for place, found, error in decode(
            groups.images, parameters.threads, prepare, given, beside
        ):
            if found is None:
                yield groups.rows[place], None, error
            else:
                rows = groups.rows[place]
                yield from ((rows[members], crop, why) for members, crop, why in found)

    limit = Limit(clip, parameters.batch_size, "crops")
    found = infer(crops(), limit, partial(units, clip), errors, Home.rows)
    for rows, (embedding, norm) in found:
        vectors.put(rows, embedding, norm)
    columns = {
        "image_id": regions["image_id"],
        "object_no": regions["object_no"],
        **vectors.columns(errors, expected=wanted),
    }
    return tables.build("object_embeddings", columns, clip.width)


STAGE = Stage(
    "embed_objects",
    3,
    ("images", "regions"),
    "object_embeddings",
    EmbedObjectsParameters,
    run,
    lambda parameters: (parameters.clip,),
)
