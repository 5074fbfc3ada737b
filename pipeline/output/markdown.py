"""Tables and code in Markdown, whatever is in them."""

import re
from collections.abc import Sequence

from pipeline.errors import visible

# what Markdown, or the HTML in it, would take for more than text, in the middle of a line; an
# underscore within a word is none
_MEANT = re.compile(r"[\\`*<|~]|\[(?=[^\]]*\][(\[])|&(?=[#\w]+;)|(?<!\w)_|_(?!\w)")


def text(value: str) -> str:
    """A text of one line that Markdown shows as it is."""
    return _MEANT.sub(lambda found: f"\\{found[0]}", visible(value)).replace("\n", "<br>")


def code(value: str) -> str:
    """A text as code in a line: between more backticks than it has."""
    line = visible(value).replace("\n", " ")
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    room = " " if "`" in line else ""
    return f"{fence}{room}{line}{room}{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """A table; of the columns whose `right` is true the cells stand at the right."""
    sides = ["---:" if side else "---" for side in right] or ["---"] * len(header)
    lines = [[text(name) for name in header], sides, *([text(c) for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
