"""embed_objects: one unit vector for each object's region, cut out before CLIP's own transform."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from pydantic import Field

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.models.clip import Clip, ClipSpec
from pipeline.stages import Parameters, Stage, tuning
from pipeline.stages.batching import Item, Vectors, infer
from pipeline.stages.inherit import reasons
from pipeline.stages.per_image import PerImage

_PIXEL = 1e-3  # a box this little beyond a pixel's edge does not take in the next pixel


class EmbedObjectsParameters(Parameters):
    """The CLIP whose image tower is used, and how much is left around a region."""

    clip: ClipSpec
    margin: float = Field(0.0, ge=0)  # fraction of the box's own size, added on each side
    batch_size: int = tuning(64, ge=1)  # crops
    threads: int | None = tuning(None, ge=1)  # that decode images


def crop(image: Image.Image, box: Sequence[float], margin: float = 0.0) -> Image.Image:
    """The pixels of `image` in `box` (x0, y0, x1, y1, fractions), rounded outward, at least one."""
    x0, y0, x1, y1 = (float(value) for value in box)
    wide, high = margin * (x1 - x0), margin * (y1 - y0)
    left, right = _span(x0 - wide, x1 + wide, image.width)
    top, bottom = _span(y0 - high, y1 + high, image.height)
    return image.crop((left, top, right, bottom))


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

    def crops() -> Iterator[Item]:
        for place, image, error in decode(groups.images, parameters.threads):
            for row in groups.rows[place].tolist():
                region = None if image is None else crop(image, boxes[row], parameters.margin)
                yield row, region, error

    def model(batch: list) -> list:
        return list(zip(*clip.encode_images(batch), strict=True))

    for row, (embedding, norm) in infer(crops(), parameters.batch_size, model, errors):
        vectors.put(row, embedding, norm)
    columns = {
        "image_id": regions["image_id"],
        "object_no": regions["object_no"],
        **vectors.columns(errors, expected=wanted),
    }
    return tables.build("object_embeddings", columns, clip.width)


STAGE = Stage(
    "embed_objects",
    1,
    ("images", "regions"),
    "object_embeddings",
    EmbedObjectsParameters,
    run,
    lambda parameters: (parameters.clip,),
)
