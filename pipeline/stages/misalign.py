"""misalign: how far image and caption, and each region and its phrase, are apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from pipeline import tables
from pipeline.spec import Parameters, Stage
from pipeline.stages.shared.phrases import check_template, texts_of
from pipeline.stages.shared.unit_pairs import (
    INPUTS,
    Pairs,
    expected,
    global_pairs,
    local_pairs,
    width,
)


class MisalignParameters(Parameters):
    """What embed_texts wrote around a phrase."""

    phrase_template: str = "{}"

    _template = field_validator("phrase_template")(check_template)


def run(
    inputs: Mapping[str, pa.Table], parameters: MisalignParameters, models: Sequence[Any]
) -> pa.Table:
    """For each image its global row, then one local row for each object.

    `cosine` is that of the two unit vectors, `distance` the length of their difference D; float32
    throughout. A local row names its object's phrase and head. An image whose objects are missing
    because something failed has one local row, with a null object_no and the reason.
    """
    width(inputs)
    levels = {
        "global": global_pairs(inputs),
        "local": local_pairs(inputs, parameters.phrase_template),
    }
    image = np.concatenate([pairs.image for pairs in levels.values()])
    order = np.argsort(image, kind="stable")  # global before local, objects in their order
    whole, local = (_measured(level, pairs) for level, pairs in levels.items())
    objects = expected(inputs["objects"])
    for name in ("phrase", "head"):
        local = local.append_column(name, objects[name])
    parts = pa.concat_tables([whole, local], promote_options="default")
    table = parts.take(pa.array(order))
    ids = inputs["captions"]["image_id"].take(pa.array(image[order]))
    columns = {name: table[name] for name in table.column_names}
    return tables.build("misalignment", {"image_id": ids, **columns})


def _measured(level: str, pairs: Pairs) -> pa.Table:
    failed = ~np.equal(pairs.errors, None)
    unnumbered = np.isnan(pairs.object_no)
    number = np.where(unnumbered, 0, pairs.object_no).astype(np.int32)
    return pa.table(
        {
            "level": pa.array([level] * len(failed), pa.string()),
            "object_no": pa.array(number, pa.int32(), mask=unnumbered),
            "cosine": pa.array(pairs.cosine, pa.float32(), mask=failed),
            "distance": pa.array(pairs.distance, pa.float32(), mask=failed),
            "error": pa.array(pairs.errors, pa.string()),
        }
    )


STAGE = Stage("misalign", 3, INPUTS, "misalignment", MisalignParameters, run, texts=texts_of)
