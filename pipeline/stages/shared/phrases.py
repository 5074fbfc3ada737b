"""Phrases and the text around them, as every stage that embeds or looks up a phrase writes them."""

import pyarrow as pa
import pyarrow.compute as pc


def check_template(template: str) -> str:
    """The template itself; ValueError unless it has exactly one place `{}` for the phrase."""
    if template.count("{}") != 1:
        raise ValueError("a phrase template has exactly one {}, where the phrase goes")
    return template


def fill(template: str, phrases: pa.ChunkedArray) -> pa.ChunkedArray:
    """The texts that stand for `phrases` (string [n]); null stays null."""
    if template == "{}":
        return phrases
    before, after = template.split("{}")
    return pc.binary_join_element_wise(before, phrases, after, "")
