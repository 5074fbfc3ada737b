"""provided: captions that the user already has, from a file of theirs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from pipeline import tables
from pipeline.corpus.files import path_below
from pipeline.corpus.variants import content_id
from pipeline.errors import UserError
from pipeline.models.captioners.caption_file import SUFFIXES, CaptionFile, CaptionFileSpec
from pipeline.spec import Parameters, Stage

_WAYS = ("path", "uri", "image_id", "sha256")


def _absolute(value: str, info: ValidationInfo) -> str:
    if "://" in value:
        raise ValueError("the file of captions must be a local one")
    if not value.lower().endswith(SUFFIXES):
        raise ValueError(f"the file's name must end in one of {', '.join(SUFFIXES)}")
    base: Path = (info.context or {}).get("base", Path())
    return str((base / Path(value).expanduser()).resolve())


def _root(value: str | None, info: ValidationInfo) -> str | None:
    context = info.context or {}
    if value is None:
        return context.get("root")
    if "://" in value:
        return value
    return str((context.get("base", Path()) / Path(value).expanduser()).resolve())


class ProvidedParameters(Parameters):
    """The file (relative to the DAG file), and its columns.

    `key` is the column that names the image, and `by` what it names it by; a column called path,
    uri, image_id or sha256 needs no `by`. A path is relative to `root`, and `root` is the corpus's
    unless stated. `several`: see `CaptionFileSpec`.
    """

    file: Annotated[str, AfterValidator(_absolute), Field(json_schema_extra={"fingerprint": False})]
    key: str
    caption: str = "caption"
    by: Literal["path", "uri", "image_id", "sha256"] | None = None
    root: Annotated[str | None, AfterValidator(_root)] = Field(
        None, validate_default=True, json_schema_extra={"fingerprint": False}
    )
    several: Literal["error", "first"] = "error"

    @model_validator(mode="after")
    def _way(self) -> "ProvidedParameters":
        if self.by is None and self.key not in _WAYS:
            raise ValueError(
                f"what does the column '{self.key}' hold? Add `by: path` (relative to the corpus "
                f"root), or one of {', '.join(_WAYS[1:])}"
            )
        if self.key == self.caption:
            raise ValueError(f"`key` and `caption` are both '{self.key}'")
        return self

    @property
    def way(self) -> str:
        """What images are matched by: one of path, uri, image_id, sha256."""
        return self.by or self.key


def _models(parameters: ProvidedParameters) -> tuple[CaptionFileSpec]:
    return (
        CaptionFileSpec(
            file=parameters.file,
            key=parameters.key,
            caption=parameters.caption,
            several=parameters.several,
        ),
    )


def run(
    inputs: Mapping[str, pa.Table], parameters: ProvidedParameters, models: Sequence[CaptionFile]
) -> pa.Table:
    """One row for each image: its caption in the file, without white space around it.

    Matching is exact. An image that the file does not name, or whose cell is empty, is a failed
    row; so is one that could not be read. `num_tokens` and `mean_logprob` are null. An image whose
    content lies at several places is looked up at the first of them, the one in `images`. A variant
    has the caption of its clean image.
    """
    (file,) = models
    images = inputs["images"]
    keys = _keys(images, parameters)
    texts: list[str | None] = []
    errors: list[str | None] = []
    for key, unread, (there, text) in zip(
        keys, images["error"].to_pylist(), file.find(keys), strict=True
    ):
        text = (text or "").strip()
        error = unread
        if error is None and not there:
            error = f"no caption in the file: {parameters.way} {key}" + _hint(file, parameters, key)
        elif error is None and not text:
            error = f"the caption in the file is empty: {parameters.way} {key}"
        texts.append(text if error is None else None)
        errors.append(error)
    return tables.build(
        "captions", {"image_id": images["image_id"], "caption": texts, "error": errors}
    )


def _hint(file: CaptionFile, parameters: ProvidedParameters, key: str | None) -> str:
    """Names alone are never matched: two folders of a corpus often hold files of one name."""
    name = (key or "").rpartition("/")[2]
    bare = parameters.way == "path" and name != key and file.find([name])[0][0]
    return f" (it has only '{name}': write whole paths below the root)" if bare else ""


def _keys(images: pa.Table, parameters: ProvidedParameters) -> list[str | None]:
    if parameters.way == "image_id":
        return [content_id(image_id) for image_id in images["image_id"].to_pylist()]
    if parameters.way != "path":
        return images[parameters.way].to_pylist()
    if parameters.root is None:
        raise UserError(
            "paths in the captions file are relative to a folder that is not known",
            parameters.file,
            "set `root` to the corpus root",
        )
    paths: list[str | None] = []
    for uri in images["uri"].to_pylist():
        path: Any = path_below(parameters.root, uri)
        if path is None:
            raise UserError(
                f"{uri} does not lie below {parameters.root}, so it has no path there",
                parameters.file,
                "correct `root`, or match by uri, image_id or sha256",
            )
        paths.append(path)
    return paths


STAGE = Stage(
    "provided",
    2,
    ("images",),
    "captions",
    ProvidedParameters,
    run,
    _models,
    finds=lambda inputs, parameters: _keys(inputs["images"], parameters),
)
