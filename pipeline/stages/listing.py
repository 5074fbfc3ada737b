"""Stage `listing`: one row per file: the labels of its path and the facts of its content."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pyarrow as pa
from pydantic import AfterValidator

from pipeline import pulse, tables
from pipeline.corpus.file_facts import describe
from pipeline.corpus.files import read_bytes, reason
from pipeline.corpus.layouts.registry import Labels, Misfit, get_layout, labels
from pipeline.errors import reason_of, transient
from pipeline.spec import Parameters, Stage, tuning

_FACTS = (
    "bytes",
    "width",
    "height",
    "format",
    "mode",
    "orientation",
    "jpeg_quality",
    "sha256",
    "error",
)
_LABELS = ("label", "generator", "dataset", "split", "class_name")


class Listing(Parameters):
    """How the paths are read; `dataset` names the corpus where its layout does not."""

    layout: Annotated[str, AfterValidator(lambda name: get_layout(name).name)]
    dataset: str | None = None
    threads: int = tuning(min(4, os.cpu_count() or 1), ge=1)


def run(
    inputs: Mapping[str, pa.Table], parameters: Listing, models: Sequence[Any] = ()
) -> pa.Table:
    """The table `listing` of `inputs["files"]` (schema `corpus.files.FILES`), in its order.

    Each file is read once. A file that cannot be read has a null image_id; one that is no image has
    its id and null facts; one whose path does not fit the layout has its facts and null labels.
    All three have an `error`; where two apply, the content's is the one given.
    """
    files = inputs["files"]
    uris, paths, stamps = (files[name].to_pylist() for name in ("uri", "path", "stamp"))
    with ThreadPoolExecutor(parameters.threads, thread_name_prefix="listing") as pool:
        facts = []
        for one in pool.map(_facts, uris):  # the bytes stay in the threads
            facts.append(one)
            pulse.beat()
    rows = [
        {"uri": uri, "stamp": stamp, **fact, **labelled(path, fact["error"], parameters)}
        for uri, path, stamp, fact in zip(uris, paths, stamps, facts, strict=True)
    ]
    names = tables.schema("listing").names
    return tables.build("listing", {name: [row.get(name) for row in rows] for name in names})


def relabelled(rows: pa.Table, paths: Sequence[str], parameters: Listing) -> pa.Table:
    """Rows of another listing of the same files as this one's: with the labels of its layout."""
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    unusable = zip(rows["error"].to_pylist(), rows["width"].to_pylist(), strict=True)
    errors = [error if width is None else None for error, width in unusable]
    found = [labelled(*one, parameters) for one in zip(paths, errors, strict=True)]
    for name in (*_LABELS, "error"):
        columns[name] = [one[name] for one in found]
    return tables.build("listing", columns)


def _facts(uri: str) -> dict[str, Any]:
    try:
        facts = describe(read_bytes(uri))
    except OSError as error:
        return {"error": transient(f"file cannot be read: {reason(error)}")}
    except MemoryError as error:
        return {"error": reason_of(error)}
    return {"image_id": facts.sha256[:32], **{name: getattr(facts, name) for name in _FACTS}}


def labelled(path: str, error: str | None, parameters: Listing) -> dict[str, Any]:
    """The labels of a path, and the row's error: the content's, else why it has no labels."""
    try:
        found = labels(parameters.layout, path, parameters.dataset)
    except Misfit as misfit:
        found, error = Labels(dataset=parameters.dataset), error or str(misfit)
    return {"error": error, **{name: getattr(found, name) for name in _LABELS}}


STAGE = Stage(
    name="listing",
    version=2,
    inputs=("files",),
    output="listing",
    parameters=Listing,
    run=run,
    key="uri",
)
