"""provided: captions that the user already has, from a file of theirs or with the images."""

from collections.abc import Mapping, Sequence
from typing import Literal

import pyarrow as pa
from pydantic import model_validator

from pipeline import tables
from pipeline.errors import UserError
from pipeline.models.captioners.caption_file import ABSENT, CaptionFile, CaptionFileSpec
from pipeline.models.given.text_columns import SUFFIXES
from pipeline.spec import Parameters, Stage, place
from pipeline.stages.shared import matching
from pipeline.stages.shared.matching import WAYS, Root, Way, local_file

NONE_CAME = "no caption came with the image"


class ProvidedParameters(Parameters):
    """The file (relative to the DAG file), and its columns.

    `key` is the column that names the image, and `by` what it names it by; a column called path,
    uri, image_id or sha256 needs no `by`. A path is relative to `root`, and `root` is the corpus's
    unless stated. `several`: see `CaptionFileSpec`.

    Without a file the captions are those that came with the images in the corpus, in a column or in
    files beside them: `corpus.columns` says in which.
    """

    file: local_file("captions", SUFFIXES) | None = place(None)
    key: str | None = None
    caption: str = "caption"
    by: Way | None = None
    root: Root = place(None, validate_default=True)
    several: Literal["error", "first"] = "error"

    @model_validator(mode="after")
    def _way(self) -> "ProvidedParameters":
        if self.file is None:
            if self.model_fields_set & {"key", "by", "root", "several"}:
                raise ValueError("`key` and what goes with it are for a `file`, and none is named")
            return self
        if self.key is None:
            raise ValueError("which column of the file names the image? Add `key: …`")
        if self.by is None and self.key not in WAYS:
            raise ValueError(
                f"what does the column '{self.key}' hold? Add `by: path` (relative to the corpus "
                f"root), or one of {', '.join(WAYS[1:])}"
            )
        if self.key == self.caption:
            raise ValueError(f"`key` and `caption` are both '{self.key}'")
        return self

    @property
    def way(self) -> str:
        """What images are matched by: one of path, uri, image_id, sha256."""
        return self.by or self.key or ""


def _models(parameters: ProvidedParameters) -> tuple[CaptionFileSpec, ...]:
    if parameters.file is None:
        return ()
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
    images = inputs["images"]
    if parameters.file is None:
        return _with_the_images(images)
    (file,) = models
    keys = _keys(images, parameters)
    texts: list[str | None] = []
    errors: list[str | None] = []
    for key, unread, (text, why) in zip(
        keys, images["error"].to_pylist(), file.find(keys), strict=True
    ):
        error = unread
        if error is None and why:
            alike = matching.hint(file.has, parameters.way, key) if why == ABSENT else ""
            error = f"{why}: {parameters.way} {key}{alike}"
        texts.append(text if error is None else None)
        errors.append(error)
    return tables.build(
        "captions", {"image_id": images["image_id"], "caption": texts, "error": errors}
    )


def _with_the_images(images: pa.Table) -> pa.Table:
    """The captions that came with the images."""
    texts = [(text or "").strip() or None for text in images["caption"].to_pylist()]
    errors = [
        error or (None if text else NONE_CAME)
        for text, error in zip(texts, images["error"].to_pylist(), strict=True)
    ]
    texts = [text if error is None else None for text, error in zip(texts, errors, strict=True)]
    return tables.build(
        "captions", {"image_id": images["image_id"], "caption": texts, "error": errors}
    )


def _distinct(images: pa.Table, parameters: ProvidedParameters) -> None:
    """UserError where captions should come with the images, and none has one."""
    if parameters.file is None and len(images) and images["caption"].null_count == len(images):
        raise UserError(
            "no image of the corpus came with a caption",
            "stage provided, without a `file`",
            "say which column or file beside the images has them, `corpus.columns: {caption: …}`, "
            "or name a `file` of captions",
        )


def _keys(images: pa.Table, parameters: ProvidedParameters) -> list[str | None]:
    if parameters.file is None:
        return images["caption"].to_pylist()
    return matching.keys(images, parameters.way, parameters.root, parameters.file)


STAGE = Stage(
    "provided",
    2,
    ("images",),
    "captions",
    ProvidedParameters,
    run,
    _models,
    finds=lambda inputs, parameters: _keys(inputs["images"], parameters),
    distinct=_distinct,
    captions=lambda parameters: parameters.file is None,
)
