"""Stage `listing`: one row per file: the labels of its path and the facts of its content."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pyarrow as pa
from pydantic import AfterValidator

from pipeline import pulse, tables
from pipeline.corpus.file_facts import describe
from pipeline.corpus.layouts.labels import Labels, Misfit
from pipeline.corpus.layouts.registry import Reading, check_name
from pipeline.corpus.sources.filesystems import reason
from pipeline.corpus.sources.folder import why_unlisted
from pipeline.corpus.sources.read import read_bytes
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
    "jpeg_tables",
    "has_exif",
    "sha256",
    "error",
)
_LABELS = ("label", "generator", "dataset", "split", "class_name")


class Listing(Parameters):
    """How the paths are read: see `corpus.layouts.registry.Reading`."""

    layout: Annotated[str, AfterValidator(check_name)]
    dataset: str | None = None
    pattern: str | None = None
    threads: int = tuning(min(4, os.cpu_count() or 1), ge=1)

    @property
    def reading(self) -> Reading:
        """These in one."""
        return Reading(self.layout, self.dataset, self.pattern)


def run(
    inputs: Mapping[str, pa.Table], parameters: Listing, models: Sequence[Any] = ()
) -> pa.Table:
    """The table `listing` of `inputs["files"]` (schema `corpus.sources.found.FILES`), in its order.

    Each file is read once. A file that cannot be read has a null image_id; one that is no image has
    its id and null facts; one whose path does not fit the layout has its facts and null labels; a
    folder that cannot be listed (its uri ends in `/`) has neither. All have an `error`; where two
    apply, the content's is the one given.
    """
    files = inputs["files"]
    uris, paths, stamps = (files[name].to_pylist() for name in ("uri", "path", "stamp"))
    with ThreadPoolExecutor(parameters.threads, thread_name_prefix="listing") as pool:
        facts = []
        for one in pool.map(_facts, uris, paths):  # the bytes stay in the threads
            facts.append(one)
            pulse.beat()
    said = labelled(paths, [fact["error"] for fact in facts], parameters)
    rows = [
        {"uri": uri, "stamp": stamp, **fact, **labels}
        for uri, stamp, fact, labels in zip(uris, stamps, facts, said, strict=True)
    ]
    names = tables.schema("listing").names
    return tables.build("listing", {name: [row.get(name) for row in rows] for name in names})


def relabelled(rows: pa.Table, paths: Sequence[str], parameters: Listing) -> pa.Table:
    """Rows of another listing of the same files as this one's: with the labels of its layout."""
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    unusable = zip(rows["error"].to_pylist(), rows["width"].to_pylist(), strict=True)
    errors = [error if width is None else None for error, width in unusable]
    found = labelled(paths, errors, parameters)
    for name in (*_LABELS, "error"):
        columns[name] = [one[name] for one in found]
    return tables.build("listing", columns)


def _facts(uri: str, path: str) -> dict[str, Any]:
    if path.endswith("/"):
        return {"error": transient(f"folder cannot be listed: {why_unlisted(uri)}")}
    try:
        facts = describe(read_bytes(uri))
    except OSError as error:
        return {"error": transient(f"file cannot be read: {reason(error)}")}
    except MemoryError as error:
        return {"error": reason_of(error)}
    return {"image_id": facts.sha256[:32], **{name: getattr(facts, name) for name in _FACTS}}


def labelled(
    paths: Sequence[str], errors: Sequence[str | None], parameters: Listing
) -> list[dict[str, Any]]:
    """The labels of each path, and the row's error: the content's, else why it has no labels."""
    rows = []
    for found, error in zip(parameters.reading.read(paths), errors, strict=True):
        labels = found
        if isinstance(labels, Misfit):
            labels, error = Labels(dataset=parameters.dataset), error or str(found)
        rows.append({"error": error, **{name: getattr(labels, name) for name in _LABELS}})
    return rows


STAGE = Stage(
    name="listing",
    version=3,
    inputs=("files",),
    output="listing",
    parameters=Listing,
    run=run,
    key="uri",
)
