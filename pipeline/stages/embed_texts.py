"""embed_texts: one unit vector for each distinct text of a part, captions and phrases alike."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from pipeline import tables
from pipeline.models.clip import Clip, ClipSpec
from pipeline.stages import Parameters, Stage, tuning
from pipeline.stages.batching import Vectors, chunks
from pipeline.stages.phrases import check_template, fill


class EmbedTextsParameters(Parameters):
    """The CLIP whose text tower is used, and what is written around a phrase."""

    clip: ClipSpec
    phrase_template: str = "{}"  # e.g. "a photo of a {}"; misalign and features need the same
    batch_size: int = tuning(256, ge=1)  # texts

    _template = field_validator("phrase_template")(check_template)


def text_id(text: str) -> str:
    """The first 32 hex digits of the SHA-256 of the text's UTF-8 bytes."""
    return sha256(text.encode()).hexdigest()[:32]


def run(
    inputs: Mapping[str, pa.Table], parameters: EmbedTextsParameters, models: Sequence[Clip]
) -> pa.Table:
    """One row for each distinct text: the captions in row order, then the phrases."""
    (clip,) = models
    captions = inputs["captions"]["caption"]
    phrases = fill(parameters.phrase_template, inputs["objects"]["phrase"])
    texts = [
        text
        for text in pc.unique(pa.chunked_array([*captions.chunks, *phrases.chunks], pa.string()))
        .drop_null()
        .to_pylist()
        if text
    ]
    vectors = Vectors(len(texts), clip.width)
    truncated: list[bool] = []
    for batch in chunks(texts, parameters.batch_size):
        start = len(truncated)
        embeddings, norms, cut = clip.encode_texts(batch)
        for offset in range(len(batch)):
            vectors.put(start + offset, embeddings[offset], norms[offset])
        truncated += cut.tolist()
    columns = {
        "text_id": [text_id(text) for text in texts],
        "text": texts,
        "truncated": truncated,
        **vectors.columns([None] * len(texts)),
    }
    return tables.build("text_embeddings", columns, clip.width)


STAGE = Stage(
    "embed_texts",
    1,
    ("captions", "objects"),
    "text_embeddings",
    EmbedTextsParameters,
    run,
    lambda parameters: (parameters.clip,),
    key="text_id",
)
