"""caption: one sentence for each image."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Literal

import pyarrow as pa
from pydantic import Field

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.models.captioner import Captioner, CaptionerSpec
from pipeline.stages import ModelName, Parameters, Stage, tuning
from pipeline.stages.batching import Size, infer


class CaptionParameters(Parameters):
    """The captioner and its beam search."""

    model: ModelName
    num_beams: int = Field(3, ge=1)
    max_new_tokens: int = Field(40, ge=1)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: str = tuning("auto")
    batch_size: Size = tuning(16)  # images
    threads: int | None = tuning(None, ge=1)  # that decode images


def _models(parameters: CaptionParameters) -> tuple[CaptionerSpec]:
    return (
        CaptionerSpec(
            model=parameters.model, precision=parameters.precision, device=parameters.device
        ),
    )


def run(
    inputs: Mapping[str, pa.Table], parameters: CaptionParameters, models: Sequence[Captioner]
) -> pa.Table:
    """One row for each image. A caption without a word in it is a failed row."""
    (captioner,) = models
    images = inputs["images"]
    errors: list[str | None] = [None] * len(images)
    texts: list[str | None] = [None] * len(images)
    tokens: list[int | None] = [None] * len(images)
    logprobs: list[float | None] = [None] * len(images)

    def model(batch: list) -> list:
        return captioner.caption(batch, parameters.num_beams, parameters.max_new_tokens)

    decoded = decode(images, parameters.threads, lambda _, image: captioner.prepare(image))
    for row, caption in infer(decoded, parameters.batch_size, captioner, model, errors):
        if not caption.text:
            errors[row] = "the captioner wrote nothing"
        elif not isfinite(caption.mean_logprob):
            errors[row] = "the caption's probability is not finite"
        else:
            texts[row], tokens[row] = caption.text, caption.num_tokens
            logprobs[row] = caption.mean_logprob
    return tables.build(
        "captions",
        {
            "image_id": images["image_id"],
            "caption": texts,
            "num_tokens": tokens,
            "mean_logprob": logprobs,
            "error": errors,
        },
    )


STAGE = Stage("caption", 1, ("images",), "captions", CaptionParameters, run, _models)
