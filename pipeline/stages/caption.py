"""caption: one sentence for each image."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import pyarrow as pa

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.models.captioners.captioner import Caption, Captioner, CaptionerSpec
from pipeline.models.captioners.generation import Generation, seed_of
from pipeline.models.precision import Precision
from pipeline.spec import ModelName, Stage, tuning
from pipeline.stages.shared.batching import Item, Limit, Size, infer


class CaptionParameters(Generation):
    """The captioner, and how it searches for a caption."""

    model: ModelName
    precision: Precision = "fp32"
    trust_remote_code: bool = False
    device: str = tuning("auto")
    batch_size: Size = tuning("auto")  # images; sampling takes them one by one
    threads: int | None = tuning(None, ge=1)  # that decode images


def _models(parameters: CaptionParameters) -> tuple[CaptionerSpec]:
    return (
        CaptionerSpec(
            model=parameters.model,
            precision=parameters.precision,
            trust_remote_code=parameters.trust_remote_code,
            device=parameters.device,
        ),
    )


def run(
    inputs: Mapping[str, pa.Table], parameters: CaptionParameters, models: Sequence[Captioner]
) -> pa.Table:
    """One row for each image. A caption without a word in it is a failed row.

    Sampling goes image by image, each with a seed of its own, so that a caption depends on no other
    image, part or worker: it costs what batches would have saved.
    """
    (captioner,) = models
    images = inputs["images"]
    ids = images["image_id"].to_pylist()
    errors: list[str | None] = [None] * len(ids)
    texts: list[str | None] = [None] * len(ids)
    tokens: list[int | None] = [None] * len(ids)
    logprobs: list[float | None] = [None] * len(ids)
    sampling = parameters.do_sample

    def items() -> Iterator[Item]:
        beside = limit.beside()
        for row, prepared, error in decode(
            images, parameters.threads, captioner.prepare, beside=beside
        ):
            seeded = sampling and prepared is not None
            yield row, (seed_of(parameters.seed, ids[row]), prepared) if seeded else prepared, error

    def model(batch: list[Any]) -> list[Caption]:
        if not sampling:
            return captioner.caption(batch, parameters)
        seeds, prepared = zip(*batch, strict=True)
        return captioner.caption(prepared, parameters, seeds)

    limit = Limit(captioner, 1 if sampling else parameters.batch_size, "images")
    for row, caption in infer(items(), limit, model, errors):
        if caption.mean_logprob is not None and not isfinite(caption.mean_logprob):
            errors[row] = "the caption's probability is not finite"
        elif not caption.text:
            errors[row] = "the captioner wrote nothing"
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
