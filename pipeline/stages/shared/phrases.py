"""Phrases and the text around them, as every stage that embeds or looks up a phrase writes them."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def check_template(template: str) -> str:
    """The template itself; ValueError unless it has exactly one place `{}` for the phrase."""
    if template.count("{}") != 1:
        raise ValueError("a phrase template has exactly one {}, where the phrase goes")
    return template


def text_id(text: str) -> str:
    """The first 32 hex digits of the SHA-256 of the text's UTF-8 bytes."""
    return sha256(text.encode()).hexdigest()[:32]


def texts_of(inputs: Mapping[str, pa.Table], parameters: Any) -> pa.Table:
    """The texts that images need, columns image_id, text_id, text: captions, then phrases.

    `inputs`: captions, and objects where phrases are needed; `parameters` have the
    `phrase_template`.
    """
    texts = {"captions": inputs["captions"]["caption"]}
    if "objects" in inputs:
        texts["objects"] = fill(parameters.phrase_template, inputs["objects"]["phrase"])
    needed = pa.concat_tables(
        pa.table({"image_id": inputs[name]["image_id"], "text": column})
        for name, column in texts.items()
    )
    needed = needed.filter(pc.greater(pc.binary_length(needed["text"]), 0))
    coded = needed["text"].combine_chunks().dictionary_encode()  # one digest for each text
    ids = pa.array([text_id(text) for text in coded.dictionary.to_pylist()], pa.string())
    return needed.add_column(1, "text_id", ids.take(coded.indices))


def fill(template: str, phrases: pa.ChunkedArray) -> pa.ChunkedArray:
    """The texts that stand for `phrases` (string [n]); null stays null."""
    if template == "{}":
        return phrases
    before, after = template.split("{}")
    return pc.binary_join_element_wise(before, phrases, after, "")
