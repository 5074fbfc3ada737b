"""features: the representation D that heads are trained on, one row for each image."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from pipeline import tables
from pipeline.spec import Parameters, Stage
from pipeline.stages.shared.failure_reasons import positions
from pipeline.stages.shared.phrases import check_template, texts_of
from pipeline.stages.shared.unit_pairs import INPUTS, global_pairs, local_pairs, width


class FeaturesParameters(Parameters):
    """Which D, how objects are pooled, and what embed_texts wrote around a phrase."""

    representation: Literal["unit_difference"] = "unit_difference"  # v/|v| - t/|t|
    pooling: Literal["mean"] = "mean"
    phrase_template: str = "{}"

    _template = field_validator("phrase_template")(check_template)


def run(
    inputs: Mapping[str, pa.Table], parameters: FeaturesParameters, models: Sequence[Any]
) -> pa.Table:
    """Global D, and the mean of the objects' D, with their cosines and distances as scalars.

    D is computed in float32 and stored in float16. The local columns are means over the objects
    that have a region embedding and a phrase embedding; `num_objects` counts these. A caption that
    names no object gives a null `local` and num_objects 0, which is no failure. An image fails as
    a whole, with all its values null, when its global D is missing, or when its caption names
    objects of which not one could be measured.
    """
    d = width(inputs)
    ids = inputs["captions"]["image_id"]
    whole = global_pairs(inputs)
    parts = local_pairs(inputs, parameters.phrase_template)
    good = np.equal(parts.errors, None)
    count = np.bincount(parts.image[good], minlength=len(ids))
    local = np.zeros((len(ids), d), np.float32)
    np.add.at(local, parts.image[good], parts.difference[good])
    local /= np.maximum(count, 1)[:, None]

    errors = whole.errors.copy()
    for row, why in zip(parts.image[~good], parts.errors[~good], strict=True):
        if errors[row] is None and not count[row]:
            errors[row] = why
    measured = np.equal(errors, None)
    named = measured & (count > 0)
    columns = {
        "image_id": ids,
        "global": tables.vectors(whole.difference, measured),
        "local": tables.vectors(local, named),
        "num_objects": pa.array(count.astype(np.int32), pa.int32(), mask=~measured),
        **_scalars(inputs["misalignment"], ids, measured, named),
        "error": pa.array(errors, pa.string()),
    }
    return tables.build("features", columns, d)


def _scalars(
    misalignment: pa.Table, ids: pa.ChunkedArray, measured: np.ndarray, named: np.ndarray
) -> dict[str, pa.Array]:
    """The misalignment table's numbers per image: its global row, the mean of its local rows."""
    columns = {}
    for level, valid in (("global", measured), ("local", named)):
        of_level = pc.and_(
            pc.equal(misalignment["level"], level), pc.is_null(misalignment["error"])
        )
        rows = misalignment.filter(of_level)
        image = positions(rows["image_id"], ids, "captions")
        count = np.maximum(np.bincount(image, minlength=len(ids)), 1)
        for name in ("cosine", "distance"):
            total = np.bincount(image, weights=rows[name].to_numpy(), minlength=len(ids))
            means = (total / count).astype(np.float32)
            columns[f"{name}_{level}"] = pa.array(means, pa.float32(), mask=~valid)
    return columns


STAGE = Stage(
    "features",
    2,
    (*INPUTS, "misalignment"),
    "features",
    FeaturesParameters,
    run,
    texts=texts_of,
)
