"""Stage `parse`: the noun phrases of each caption, the objects whose alignment is measured."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline.models.parser.parser import Parser, ParserModel
from pipeline.spec import ModelName, Parameters, Stage, tuning
from pipeline.stages.shared.failure_reasons import because
from pipeline.tables import build


class ParseParameters(Parameters):
    """`model`: any spaCy pipeline that sets `pos` (installed package or folder)."""

    model: ModelName = "en_core_web_sm"
    batch_size: int = tuning(256, ge=1)


def run(
    inputs: Mapping[str, pa.Table], parameters: ParseParameters, models: Sequence[Parser]
) -> pa.Table:
    """`captions` to `objects`: one row for each noun phrase, numbered from 0 within its image.

    Repeated phrases keep a row each. An image whose caption names no object is one row with a null
    `object_no`; one whose caption failed is such a row too, with the error `no caption: <why>`.
    Rows stand in the order of the images.
    """
    captions = inputs["captions"].to_pydict()
    (parser,) = models
    found = parser.noun_phrases(captions["caption"], parameters.batch_size)
    rows: dict[str, list] = {
        name: [] for name in ("image_id", "object_no", "phrase", "head", "start", "end", "error")
    }
    for image_id, phrases, error in zip(
        captions["image_id"], found, captions["error"], strict=True
    ):
        values = [(n, p.phrase, p.head, p.start, p.end, None) for n, p in enumerate(phrases)]
        if error is not None or not phrases:
            values = [(None, None, None, None, None, error and because("caption", error))]
        for value in values:
            for name, cell in zip(rows, (image_id, *value), strict=True):
                rows[name].append(cell)
    return build("objects", rows)


STAGE = Stage(
    name="parse",
    version=2,
    inputs=("captions",),
    output="objects",
    parameters=ParseParameters,
    run=run,
    models=lambda parameters: (ParserModel(parameters.model),),
)
