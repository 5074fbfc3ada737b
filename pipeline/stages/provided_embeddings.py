"""provided_embeddings: image embeddings that the user already has, from a file of theirs.

In a DAG file: `stage: provided` with `table: image_embeddings`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from pipeline import tables
from pipeline.corpus.variants import CLEAN
from pipeline.errors import UserError
from pipeline.models.given import text_columns
from pipeline.models.given.embedding_file import (
    LINES,
    SUFFIXES,
    EmbeddingFile,
    EmbeddingFileSpec,
)
from pipeline.models.given.vector_rows import WHAT
from pipeline.spec import Parameters, Stage, place
from pipeline.stages.shared import matching
from pipeline.stages.shared.matching import WAYS, Root, local_file

_DEFAULTS = {
    ".npz": {"embedding": "embeddings", "key": "keys"},
    ".parquet": {"embedding": "embedding"},
}
_SEVERAL_NAMED = 3  # in a message


class ProvidedEmbeddingsParameters(Parameters):
    """The file, where in it the vectors are, and where their keys are; relative to the DAG file.

    `embedding`: the column of a Parquet file (embedding), or the array of an .npz (embeddings).
    `key`: the column, or the array (keys), that names the image. `list`: another file that has the
    keys, in the order of the vectors, and that a .npy needs: a text with one on each line, or a
    table with the column `key`. `by`: what the keys are; a `key` called path, uri, image_id or
    sha256 needs none. A path is relative to `root`, the corpus's unless stated; a name is the last
    part of a path. `several`: see `EmbeddingFileSpec`.
    """

    file: local_file(WHAT, SUFFIXES) = place()
    list: local_file("keys", (LINES, *text_columns.SUFFIXES)) | None = place(None)
    key: str | None = None
    embedding: str | None = None
    by: Literal["path", "uri", "image_id", "sha256", "name"] | None = None
    root: Root = place(None, validate_default=True)
    several: Literal["error", "first"] = "error"

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """What the arrays of an .npz, and the column of a Parquet file, are called by default."""
        if not isinstance(given, dict):
            return given
        suffix = next((end for end in SUFFIXES if str(given.get("file")).lower().endswith(end)), "")
        filled = {**_DEFAULTS.get(suffix, {}), **{k: v for k, v in given.items() if v is not None}}
        if given.get("list") and given.get("key") is None:
            filled.pop("key", None)  # that of the .npz: these keys are elsewhere
        return filled

    @model_validator(mode="after")
    def _check(self) -> "ProvidedEmbeddingsParameters":
        lines = bool(self.list and self.list.lower().endswith(LINES))
        if self.file.lower().endswith(".npy"):
            self._refuse("a .npy is one array", "embedding")
            if not self.list:
                raise ValueError(
                    "a .npy has vectors alone: give their keys in `list: names.txt`, one on each "
                    "line, in the order of the vectors"
                )
        if self.file.lower().endswith(".parquet"):
            self._refuse("a Parquet file has its keys beside its vectors", "list")
        if lines:
            self._refuse("a list of lines has no columns", "key")
        elif self.key is None:
            raise ValueError("`key` is missing: the column that names the image")
        if self.by is None and self.key not in WAYS:
            held = "the list" if lines else f"'{self.key}'"
            raise ValueError(
                f"what does {held} hold? Add `by: path` (relative to the corpus root), or one of "
                f"{', '.join(WAYS[1:])}, name"
            )
        if self.key is not None and self.key == self.embedding:
            raise ValueError(f"`key` and `embedding` are both '{self.key}'")
        return self

    def _refuse(self, why: str, name: str) -> None:
        if getattr(self, name) is not None:
            raise ValueError(f"{why}: leave `{name}` out")

    @property
    def way(self) -> str:
        """What images are matched by: one of path, uri, image_id, sha256, name."""
        return self.by or str(self.key)


def _models(parameters: ProvidedEmbeddingsParameters) -> tuple[EmbeddingFileSpec]:
    names = ("file", "list", "key", "embedding", "several")
    return (EmbeddingFileSpec(**{name: getattr(parameters, name) for name in names}),)


def run(
    inputs: Mapping[str, pa.Table],
    parameters: ProvidedEmbeddingsParameters,
    models: Sequence[EmbeddingFile],
) -> pa.Table:
    """One row for each image: its vector in the file, made a unit vector; `norm` is its length.

    Matching is exact. Failed rows: an image that the file does not name, or that could not be
    read; a vector that is not finite, has no length, or is of another width than the file's. What
    the file knows is the clean image: a variant finds a vector of its own by image_id alone.
    """
    (file,) = models
    images, way = inputs["images"], parameters.way
    keys = _keys(images, parameters)
    errors = images["error"].to_pylist()
    if way != "image_id":
        for row, variant in enumerate(images["variant"].to_pylist()):
            if errors[row] is None and variant not in (None, CLEAN):
                errors[row] = (
                    f"the file's embeddings are of clean images: {variant} is found by image_id "
                    f"alone, not by {way}"
                )
    asked = [key if error is None else None for key, error in zip(keys, errors, strict=True)]
    rows = file.find(asked)
    found = np.flatnonzero(rows >= 0)
    values, faults = file.take(rows[found])
    with np.errstate(all="ignore"):  # what is too large is not finite, and a row says so
        norms = np.linalg.norm(values, axis=1).astype(np.float32)
    good = np.isfinite(norms) & (norms > 0)
    for number, row in enumerate(found.tolist()):
        if faults[number] or not good[number]:
            why = faults[number] or ("is all zeros" if norms[number] == 0 else "is not finite")
            errors[row] = f"the vector in the file {why}: {way} {keys[row]}"
            good[number] = False
    for row in np.flatnonzero(rows < 0).tolist():
        if errors[row] is None:
            errors[row] = f"no embedding in the file: {way} {keys[row]}"
            errors[row] += matching.hint(lambda key: file.find([key])[0] >= 0, way, keys[row])
    return _table(images, file.width, found[good], values[good], norms[good], errors)


def _table(
    images: pa.Table,
    width: int,
    rows: np.ndarray,
    values: np.ndarray,
    norms: np.ndarray,
    errors: list[str | None],
) -> pa.Table:
    """`values` [k, d] of length `norms` [k] are those of `rows`; the others have an error."""
    units, lengths = np.zeros((len(images), width), np.float32), np.zeros(len(images), np.float32)
    units[rows], lengths[rows] = values / norms[:, None], norms
    valid = np.zeros(len(images), bool)
    valid[rows] = True
    columns = {
        "image_id": images["image_id"],
        "embedding": tables.vectors(units, valid),
        "norm": pa.array(lengths, pa.float32(), mask=~valid),
        "error": pa.array(errors, pa.string()),
    }
    return tables.build("image_embeddings", columns, width)


def _keys(images: pa.Table, parameters: ProvidedEmbeddingsParameters) -> list[str | None]:
    if parameters.way == "image_id":
        return images["image_id"].to_pylist()
    return matching.keys(images, parameters.way, parameters.root, parameters.file)


def distinct(images: pa.Table, parameters: ProvidedEmbeddingsParameters) -> None:
    """UserError where different images of a corpus have one name, by which they are matched.

    `images`: image_id and uri, a row a content. Which of them a vector is of, nobody could say.
    """
    if parameters.way != "name":
        return
    names = pa.array(_keys(images, parameters), pa.string())
    counts = pa.table({"name": names}).group_by("name").aggregate([("name", "count")])
    several = counts.filter(pc.greater(counts["name_count"], 1))["name"].sort()
    if len(several):
        shown = several.slice(0, _SEVERAL_NAMED).combine_chunks()
        first = images.filter(pc.equal(names, shown[0]))["uri"].slice(0, 2).to_pylist()
        raise UserError(
            f"{len(several):,} file names are those of several different images: "
            f"{', '.join(map(str, shown))} ({', '.join(first)})",
            f"{parameters.file} (`by: name`)",
            "match by path, sha256 or image_id: a name alone does not say which image is meant",
        )


STAGE = Stage(
    "provided_embeddings",
    1,
    ("images",),
    "image_embeddings",
    ProvidedEmbeddingsParameters,
    run,
    _models,
    finds=lambda inputs, parameters: _keys(inputs["images"], parameters),
    distinct=distinct,
)
