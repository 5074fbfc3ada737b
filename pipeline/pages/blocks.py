"""What a page is made of: sections of texts, tables, figures and pictures, as plain data.

`templates/blocks.html.j2` draws each by its `kind`; nothing here is HTML.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pipeline.pages.figures.plot import Figure
from pipeline.pages.picture import Picture
from pipeline.pages.table import Table

Tone = Literal["plain", "quiet", "warning"]


@dataclass(frozen=True)
class Words:
    """A paragraph. `quiet`: how to read what stands above it, or why something is not there."""

    text: str
    tone: Tone = "plain"
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Heading:
    """A title within a section."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Facts:
    """Names and values, a line each."""

    pairs: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Rows:
    """A table, sorted by who reads it."""

    table: Table
    kind: ClassVar[str] = "rows"


@dataclass(frozen=True)
class Figures:
    """Figures side by side, as many as there is room for."""

    items: Sequence[Figure]
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Pictures:
    """Images with what is known of each. `large`: one alone, across the page."""

    items: Sequence[Picture]
    large: bool = False
    kind: ClassVar[str] = "pictures"


Block = Words | Heading | Facts | Rows | Figures | Pictures


@dataclass(frozen=True)
class Section:
    """A part of a page: `name` is its address (`#name`), of letters and hyphens."""

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list)
