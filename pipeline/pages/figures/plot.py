"""matplotlib's drawing as SVG within a page: coloured by the page's theme, sized by its layout.

What is drawn has stand-ins for colours, which become the page's CSS variables: so one drawing is
right on light and dark, and in print. Texts stay texts, in the page's font. matplotlib lays out
axes, ticks and scales; nothing of its defaults is left to see.
"""

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from markupsafe import Markup, escape

from pipeline.errors import visible
from pipeline.output.formats import write

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

# CSS variable of templates/style.css -> the colour that stands for it while matplotlib draws
_STANDINS = {
    name: f"#0{number:02x}e5d"
    for number, name in enumerate(
        ("ink", "quiet", "rule", "paper", "real", "fake", *(f"line-{n}" for n in range(8)))
    )
}
INK, QUIET, RULE, PAPER, REAL, FAKE, *LINES = _STANDINS.values()
_VARIABLES = {colour: name for name, colour in _STANDINS.items()}
WIDTH, HEIGHT = 4.6, 3.2  # inches, of 72 units: read from some 300 CSS pixels on


@dataclass(frozen=True)
class Mark:
    """An entry of a figure's legend: its text, and the CSS variable and dash of its line."""

    text: str
    variable: str
    dashed: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing with what belongs to it: `alt` for who does not see it, and its `data`."""

    name: str  # of the file of its data, without a suffix
    title: str
    caption: str
    alt: str
    svg: Markup
    data: "pa.Table"
    legend: Sequence[Mark] = ()
    kind: ClassVar[str] = "figure"

    @property
    def csv(self) -> str:
        """The data as CSV, in a URI."""
        stream = io.BytesIO()
        write(self.data, "csv", stream)
        return f"data:text/csv;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def mark(text: str, colour: str, dashed: bool = False) -> Mark:
    """The legend's entry of what is drawn in a colour."""
    return Mark(text, _VARIABLES[colour], dashed)


@contextmanager
def drawing(
    rows: int = 1, columns: int = 1, width: float = WIDTH, height: float = HEIGHT, **grid: Any
) -> Iterator[tuple["Drawing", list["Axes"]]]:
    """A drawing of so many inches, with its axes; `grid`: as `Figure.subplots` has it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing

    with mpl.rc_context(_style()):
        found = Drawing(figsize=(width, height), layout="constrained")
        axes = found.subplots(rows, columns, squeeze=False, **grid)
        yield found, list(axes.flat)


def svg(found: "Drawing", name: str, alt: str) -> Markup:
    """A drawing as an `svg` element that fills its place; ids begin with `name`: a page has many.

    Within `drawing`.
    """
    stream = io.StringIO()
    found.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    return themed(stream.getvalue(), name, alt)


def themed(text: str, name: str, alt: str) -> Markup:
    """matplotlib's SVG file as an element of a page."""
    name = f"in-{name}"  # none of the names that matplotlib gives to its groups
    body = text[text.index("<svg ") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.S)  # it would hold for the page
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.S)
    body = re.sub(r'\bid="(?!axes|figure|patch|text|line2d)([^"]*)"', rf'id="{name}-\1"', body)
    body = re.sub(r'\s+id="(?:axes|figure|patch|text|line2d)[^"]*"', "", body)
    body = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'(xlink:)?href="#([^"]*)"', rf'href="#{name}-\2"', body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
    box = re.search(r'viewBox="([^"]*)"', body)
    start = (
        f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{escape(visible(alt))}">'
    )
    return Markup(start + body[body.index(">") + 1 :].strip())  # noqa: S704 matplotlib escapes texts


def literal_text(axes: "Axes") -> None:
    """Has matplotlib take a `$` in its labels for a `$`: names are no mathematics."""
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)


def unit_axes(axes: "Axes", x: str, y: str) -> None:
    """Both axes from 0 to 1, alike in length, with quarter steps."""
    steps = (0, 0.25, 0.5, 0.75, 1)
    names = ("0", ".25", ".5", ".75", "1")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y)
    axes.set_xticks(steps, names)
    axes.set_yticks(steps, names)
    axes.grid(True)


def _style() -> Mapping[str, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "item",  # the same drawing, the same file
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9.5,
        "axes.labelsize": 9.5,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "text.color": INK,
        "axes.labelcolor": QUIET,
        "axes.edgecolor": RULE,
        "axes.linewidth": 0.8,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "axes.axisbelow": True,
        "grid.color": RULE,
        "grid.linewidth": 0.5,
        "xtick.color": RULE,
        "ytick.color": RULE,
        "xtick.labelcolor": QUIET,
        "ytick.labelcolor": QUIET,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "lines.linewidth": 1.5,
        "lines.solid_capstyle": "round",
        "figure.facecolor": "none",
        "path.simplify": True,
    }
