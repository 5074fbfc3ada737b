"""The table of verdicts: its columns, and how they are put together of what was computed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import TRANSIENT
from pipeline.predict.inputs import File
from pipeline.predict.percentiles import Percentiles
from pipeline.predict.verdict import Verdicts

OBJECT = {
    "object_no": pa.int32(),
    "phrase": pa.string(),
    "head": pa.string(),  # its noun, as a lemma
    # fractions of the upright image; null where no region was found
    **dict.fromkeys(("x0", "y0", "x1", "y1"), pa.float32()),
    "score": pa.float32(),  # of the region
    "cosine": pa.float32(),  # of region and phrase
    "distance": pa.float32(),
    "percentile": pa.float64(),  # share of cached reals' objects that are closer, 0 to 100
    "error": pa.string(),
}
VERDICTS = pa.schema(
    {
        "path": pa.string(),  # as it was named
        "image_id": pa.string(),  # of the content; null where nothing could be read
        "verdict": pa.string(),  # real, fake or unsure; null where it failed
        "probability": pa.float64(),  # of fake, at the run's temperature
        "likelier": pa.string(),  # real or fake: the side of the threshold
        "threshold": pa.float64(),
        "unsure_low": pa.float64(),  # surely real below; null: no verdict real is sure
        "unsure_high": pa.float64(),  # surely fake from here on; null: no verdict fake is sure
        "uncalibrated": pa.float64(),  # the head's own probability, as in the run's predictions
        "caption": pa.string(),
        "cosine": pa.float32(),  # of image and caption
        "distance": pa.float32(),
        "percentile": pa.float64(),  # share of cached reals that are closer, 0 to 100
        "num_objects": pa.int32(),  # that the caption names
        "objects": pa.list_(pa.struct(OBJECT)),
        "width": pa.int32(),  # pixels, upright
        "height": pa.int32(),
        "format": pa.string(),
        "error": pa.string(),
    }
)
OBJECTS = pa.schema({"path": pa.string(), "image_id": pa.string(), **OBJECT})
_TURNED = (5, 6, 7, 8)  # EXIF orientations that change the sides


def table(
    files: Sequence[File],
    listing: pa.Table,
    tables: Mapping[str, pa.Table],
    ids: Sequence[str],
    verdicts: Verdicts,
    uncalibrated: np.ndarray,
    errors: Mapping[str, str],
    percentiles: Percentiles,
) -> pa.Table:
    """VERDICTS of files: a row each, in their order.

    `listing`: a row for each file that could be looked for, in their order. `tables`: what nodes
    made, by table. `ids` [n]: the images that were judged, with their `verdicts` and
    `uncalibrated` probabilities. `errors`: image_id -> why it was not judged.
    """
    named = tables["images"]["image_id"].to_pylist()
    clean = [content[:32] for content in named]
    by_content = dict(zip(clean, _facts(named, tables, percentiles), strict=True))
    for number, image_id in enumerate(ids):
        by_content[image_id[:32]] |= {
            "verdict": verdicts.verdict[number],
            "probability": verdicts.probability[number],
            "likelier": verdicts.likelier[number],
            "threshold": verdicts.threshold,
            "unsure_low": verdicts.unsure_low,
            "unsure_high": verdicts.unsure_high,
            "uncalibrated": uncalibrated[number],
        }
    for image_id, why in errors.items():
        by_content[image_id[:32]]["error"] = why
    rows, listed = [], iter(listing.to_pylist())
    for file in files:
        row: dict[str, Any] = {"path": file.path, "error": file.problem}
        if file.problem is None:
            found = next(listed)
            width, height = found["width"], found["height"]
            if found["orientation"] in _TURNED:
                width, height = height, width
            row |= {"image_id": found["image_id"], "format": found["format"]}
            row |= {"width": width, "height": height}
            row |= {"error": found["error"], **by_content.get(found["image_id"], {})}
        # nobody tries again later: what may pass by itself is a reason like others
        row["error"] = row["error"] and row["error"].removeprefix(TRANSIENT)
        rows.append(row)
    return pa.Table.from_pylist(rows, VERDICTS)


def _facts(
    ids: Sequence[str], tables: Mapping[str, pa.Table], percentiles: Percentiles
) -> list[dict[str, Any]]:
    """Of each image what is shown beside its verdict: caption, misalignment, objects."""
    captions = _by_image(tables.get("captions"))
    objects, regions = (_by_object(tables.get(name)) for name in ("objects", "regions"))
    whole, parts = {}, {}
    if measured := tables.get("misalignment"):
        measured = _with_percentiles(measured, percentiles)
        for row in measured.to_pylist():
            level = whole if row["level"] == "global" else parts
            level[row["image_id"], row["object_no"]] = row
    found = []
    for image_id in ids:
        own = whole.get((image_id, None), {})
        facts = {name: own.get(name) for name in ("cosine", "distance", "percentile")}
        facts["caption"] = captions.get(image_id, {}).get("caption")
        numbered = objects.get(image_id)
        if numbered is not None:
            facts["num_objects"] = len(numbered)
            facts["objects"] = [
                one
                | regions.get(image_id, {}).get(number, {})
                | _but_nulls(parts.get((image_id, number), {}))
                for number, one in numbered.items()
            ]
        found.append(facts)
    return found


def _with_percentiles(measured: pa.Table, percentiles: Percentiles) -> pa.Table:
    distance = measured["distance"].to_numpy().astype(np.float64)
    share = np.full(len(measured), np.nan)
    for level in ("global", "local"):
        own = pc.equal(measured["level"], level).to_numpy()
        share[own] = percentiles.of(level, distance[own])
    column = pa.array(share, pa.float64(), mask=np.isnan(share))
    return measured.append_column("percentile", column)


def _but_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _by_image(table: pa.Table | None) -> dict[str, dict[str, Any]]:
    return {} if table is None else {row["image_id"]: row for row in table.to_pylist()}


def _by_object(table: pa.Table | None) -> dict[str, dict[int, dict[str, Any]]]:
    """image_id -> number -> the row, of the objects that there are; no image that failed."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in [] if table is None else table.to_pylist():
        if row["object_no"] is not None:
            found.setdefault(row["image_id"], {})[row["object_no"]] = row
        elif row["error"] is None:
            found.setdefault(row["image_id"], {})
    return found


def objects_of(verdicts: pa.Table) -> pa.Table:
    """OBJECTS: the objects of all images, a row each."""
    lists = verdicts["objects"].combine_chunks()
    image = pc.list_parent_indices(lists)
    flat = pc.list_flatten(lists)
    columns = {name: verdicts[name].take(image) for name in ("path", "image_id")}
    columns |= {name: flat.field(number) for number, name in enumerate(OBJECT)}
    return pa.table(columns, schema=OBJECTS)
