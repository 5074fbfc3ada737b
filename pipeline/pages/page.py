"""A page: one HTML file that needs nothing beside it, and can reach nothing.

Its policy (a `meta` element) allows the styles and pictures that are in it, and one script, known
by its hash. What is put into the template is escaped there, by jinja2; what a terminal would obey,
such as a direction override in a file name, is shown as its code (`pipeline.errors.visible`).
"""

import base64
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from pipeline.errors import visible
from pipeline.pages.blocks import Section
from pipeline.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def render(
    title: str,
    kind: str,
    lead: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    made: str,
    marked: str = "",
) -> str:
    """The HTML of a page.

    `kind`: what the page is, in a word or two. `lead`: the few figures to read first, as (name,
    value). `made`: when and of what, at the foot. `marked`: a text that the file can be known by.
    """
    style, script = (_part(name) for name in ("style.css", "sort.js"))
    digest = base64.b64encode(sha256(script.encode()).digest()).decode("ascii")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            kind=kind,
            lead=lead,
            sections=sections,
            made=made,
            marked=marked,
            style=Markup(style),  # noqa: S704 a file of ours
            script=Markup(script),  # noqa: S704 a file of ours
            script_hash=Markup(f"sha256-{digest}"),  # noqa: S704 base64
            version=__version__,
        )
    )


def _part(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    found.filters["prose"] = _prose
    return found


def _prose(text: str) -> Markup:
    """A text with what stands between backticks as code."""
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:  # a backtick too few: no pair
        return escape(visible(text))
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else part for at, part in enumerate(parts))


def _shown(value: Any) -> Any:
    """Every text that comes into a page, but those that are HTML already."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value)
