"""embed_images: one unit vector for each image, in CLIP's joint space."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.models.clip.clip import Clip, ClipSpec, unit
from pipeline.models.transfer import Home
from pipeline.spec import Parameters, Stage, tuning
from pipeline.stages.shared.batching import Limit, Size, Vectors, infer


class EmbedImagesParameters(Parameters):
    """The CLIP whose image tower is used."""

    clip: ClipSpec
    batch_size: Size = tuning("auto")  # images
    threads: int | None = tuning(None, ge=1)  # that decode images


def units(clip: Clip, prepared: Sequence[Any]) -> Home:
    """Unit vectors and norms of prepared images, on their way to the host."""
    return unit(clip.encode_images(prepared))


def run(
    inputs: Mapping[str, pa.Table], parameters: EmbedImagesParameters, models: Sequence[Clip]
) -> pa.Table:
    """One row for each image; `norm` is the vector's length before it was made 1."""
    (clip,) = models
    images = inputs["images"]
    vectors = Vectors(len(images), clip.width)
    errors: list[str | None] = [None] * len(images)

    limit = Limit(clip, parameters.batch_size, "images")
    decoded = decode(images, parameters.threads, clip.prepare, beside=limit.beside())
    found = infer(decoded, limit, partial(units, clip), errors, Home.rows)
    for row, (embedding, norm) in found:
        vectors.put(row, embedding, norm)
    columns = {"image_id": images["image_id"], **vectors.columns(errors)}
    return tables.build("image_embeddings", columns, clip.width)


STAGE = Stage(
    "embed_images",
    2,
    ("images",),
    "image_embeddings",
    EmbedImagesParameters,
    run,
    lambda parameters: (parameters.clip,),
)
