"""What `item predict` found, as a page: the images with their boxes, and a table of all of them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.corpus import upright
from pipeline.corpus.limits import Limits
from pipeline.corpus.opened import ImageError
from pipeline.corpus.sources.read import read_bytes, together
from pipeline.pages.blocks import Block, Heading, Pictures, Rows, Section, Words
from pipeline.pages.page import render
from pipeline.pages.picture import LARGE, SIDE, Box, Picture, Thumbnail, thumbnail
from pipeline.pages.table import Table, table_of
from pipeline.version import __version__

if TYPE_CHECKING:
    Row = Mapping[str, Any]  # of the verdicts: its columns' values, `uri` among them

EACH = 40  # pictures of a verdict: some 2 MB of a page
FAILED = "not judged"
_TITLES = {"fake": "Fake", "unsure": "Unsure", "real": "Real"}
_SUREST = {"fake": "the likeliest fakes first", "unsure": "the likeliest fakes first"}
_COLUMNS = {
    "path": pa.string(),
    "verdict": pa.string(),
    "P(fake)": pa.float64(),
    "likelier": pa.string(),
    "distance": pa.float64(),
    "reals closer": pa.float64(),
    "cosine": pa.float64(),
    "caption": pa.string(),
    "objects": pa.string(),
    "file": pa.string(),
}


def page(
    verdicts: pa.Table,
    uris: Sequence[str | None],
    by: Sequence[tuple[str, str]],
    band: str,
    notes: Sequence[str] = (),
    limits: Limits | None = None,
) -> str:
    """The page, as HTML, of a table as `pipeline.predict.answer.VERDICTS` describes it.

    `uris`: where each row's image is read from, None where there is none. `by`: which run judged,
    as (name, value). `band`: by which probabilities an image is surely real or fake, in words.
    `notes`: what else is to be known, in sentences. `limits`: those that the images were decoded
    within. Only images that have a verdict are opened.
    """
    rows = [{**row, "uri": uri} for row, uri in zip(verdicts.to_pylist(), uris, strict=True)]
    failed = [row for row in rows if row["verdict"] is None]
    seen: list[Block] = [Words(text, "warning") for text in notes]
    seen += _pictures(rows, band, limits or Limits())
    sections = [Section("images", "The images", seen)]
    if failed:
        sections.append(Section("failures", "What could not be judged", [Rows(_why(failed))]))
    sections.append(Section("table", "All verdicts", [Rows(_all(rows))]))
    counts = {kind: sum(row["verdict"] == kind for row in rows) for kind in _TITLES}
    said = [f"{many:,} {kind}" for kind, many in counts.items() if many]
    said += [f"{len(failed):,} {FAILED}"] if failed else []
    many = f"{len(rows):,} image{'s' if len(rows) != 1 else ''}"
    lead = [("images", f"{len(rows):,}"), ("verdicts", ", ".join(said) or "none"), *by]
    title = rows[0]["path"].rpartition("/")[2] if len(rows) == 1 else many
    made = f"Written by item {__version__} on {datetime.now(UTC):%Y-%m-%d at %H:%M} UTC."
    return render(title, "Verdicts", lead, sections, made)


def _pictures(rows: "Sequence[Row]", band: str, limits: Limits) -> list[Block]:
    """The images of each verdict, the surest first."""
    groups = {kind: [row for row in rows if row["verdict"] == kind] for kind in _TITLES}
    if not any(groups.values()):
        return [Words("No image could be judged.", "warning")]
    shown = {kind: _first(kind, own) for kind, own in groups.items()}
    large = sum(map(len, shown.values())) == 1
    side = LARGE if large else SIDE
    chosen = [row for own in shown.values() for row in own]
    made = iter(
        together([row["uri"] for row in chosen], lambda at: _read(chosen[at], side, limits))
    )
    blocks: list[Block] = [Words(f"{band[:1].upper()}{band[1:]}.")]
    for kind, own in shown.items():
        if not own:
            continue
        blocks.append(Heading(_TITLES[kind]))
        if len(own) < len(groups[kind]):
            text = (
                f"{len(own)} of {len(groups[kind]):,} are shown, "
                f"{_SUREST.get(kind, 'the likeliest reals first')}; the table below has all."
            )
            blocks.append(Words(text, "quiet"))
        blocks.append(Pictures([_picture(row, *next(made)) for row in own], large))
    text = (
        "Distance: of image and caption, and beside each object of its region and its phrase; the "
        "larger, the worse they fit. Then the share of the cached reals, or of their objects, that "
        "are closer. An object without a box was not located."
    )
    return [*blocks, Words(text, "quiet")]


def _first(kind: str, rows: "Sequence[Row]") -> "list[Row]":
    sign = 1 if kind == "real" else -1
    return sorted(rows, key=lambda row: sign * row["probability"])[:EACH]


def _read(row: "Row", side: int, limits: Limits) -> tuple[Thumbnail | None, str | None]:
    """(thumbnail, None), or (None, why there is none): the file may be another one by now."""

    def made() -> Thumbnail:
        data = read_bytes(row["uri"])
        if not sha256(data).hexdigest().startswith(row["image_id"]):
            raise ImageError("the file has changed since it was judged")
        return thumbnail(upright.decode_bytes(data, limits), side)

    return upright.attempt(made)


def _picture(row: "Row", made: Thumbnail | None, problem: str | None) -> Picture:
    facts = [f"P(fake) {row['probability']:.3f}"]
    if row["verdict"] == "unsure":
        facts.append(f"likelier {row['likelier']}")
    if row["distance"] is not None:
        facts.append(f"distance {_beside(row)}")
    boxes = [
        Box(one["phrase"], one["cosine"], *_place(one), said=_beside(one))
        for one in row["objects"] or []
    ]
    return Picture(row["path"], row["caption"], facts, boxes, made, problem, row["verdict"])


def _place(one: "Row") -> list[float | None]:
    edges = [one[name] for name in ("x0", "y0", "x1", "y1")]
    return [None] * 4 if None in edges else edges


def _beside(one: "Row") -> str:
    """A distance and its percentile."""
    if one["distance"] is None:
        return ""
    share = "" if one["percentile"] is None else f" ({_percent(one['percentile'])})"
    return f"{one['distance']:.3f}{share}"


def _percent(share: float) -> str:
    return f"{share:.1f} %"


def _why(failed: "Sequence[Row]") -> Table:
    paths = [{"path": row["path"], "why": row["error"]} for row in failed]
    return table_of(pa.Table.from_pylist(paths), "files without a verdict, and why")


def _all(rows: "Sequence[Row]") -> Table:
    cells = [
        {
            **{name: row[name] for name in ("path", "likelier", "distance", "cosine", "caption")},
            "verdict": row["verdict"] or FAILED,
            "P(fake)": row["probability"],
            "reals closer": row["percentile"],
            "objects": "; ".join(f"{o['phrase']} {_beside(o)}" for o in row["objects"] or []),
            "file": row["format"] and f"{row['format']}, {row['width']} x {row['height']}",
        }
        for row in rows
    ]
    return table_of(
        pa.Table.from_pylist(cells, pa.schema(_COLUMNS)),
        "every image in its order; objects with their distance and percentile",
        shown={"P(fake)": lambda p: f"{p:.3f}", "reals closer": _percent},
        tones={"verdict": {"real": "real", "fake": "fake", "unsure": "unsure", FAILED: "none"}},
    )
