"""embed_texts: one unit vector for each distinct text of a part, captions and phrases alike."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from pipeline import tables
from pipeline.models.clip.clip import Clip, ClipSpec, unit
from pipeline.models.transfer import Home
from pipeline.spec import Parameters, Stage, tuning
from pipeline.stages.shared.batching import Limit, Size, Vectors, infer
from pipeline.stages.shared.phrases import check_template, texts_of


class EmbedTextsParameters(Parameters):
    """The CLIP whose text tower is used, and what is written around a phrase."""

    clip: ClipSpec
    phrase_template: str = "{}"  # e.g. "a photo of a {}"; misalign and features need the same
    batch_size: Size = tuning("auto")  # texts

    _template = field_validator("phrase_template")(check_template)


def run(
    inputs: Mapping[str, pa.Table], parameters: EmbedTextsParameters, models: Sequence[Clip]
) -> pa.Table:
    """One row for each row of `inputs["texts"]`, in its order."""
    (clip,) = models
    texts = inputs["texts"]["text"].to_pylist()
    vectors = Vectors(len(texts), clip.width)
    truncated = [False] * len(texts)
    # texts of one length share a batch: the tower then runs over few positions of padding
    by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    items = ((row, texts[row], None) for row in by_length)
    limit = Limit(clip, parameters.batch_size, "texts")
    errors: list[str | None] = [None] * len(texts)
    found = infer(items, limit, partial(_units, clip), errors, _rows)
    for row, (embedding, norm, cut) in found:
        vectors.put(row, embedding, norm)
        truncated[row] = bool(cut)
    columns = {
        "text_id": inputs["texts"]["text_id"],
        "text": texts,
        "truncated": truncated,
        **vectors.columns(errors),
    }
    return tables.build("text_embeddings", columns, clip.width)


def _units(clip: Clip, some: Sequence[str]) -> tuple[Home, np.ndarray]:
    features, truncated = clip.encode_texts(some)
    return unit(features), truncated


def _rows(encoded: tuple[Home, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    home, truncated = encoded
    return zip(*home.arrays(), truncated, strict=True)


STAGE = Stage(
    "embed_texts",
    2,
    ("captions", "objects"),
    "text_embeddings",
    EmbedTextsParameters,
    run,
    lambda parameters: (parameters.clip,),
    key="text_id",
    optional=("objects",),
    texts=texts_of,
)
