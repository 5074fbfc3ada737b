"""Pictures of images by their ids: thumbnails, captions, objects and their boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.corpus.upright import Row
from pipeline.pages.picture import SIDE, Box, Picture, thumbnails

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FILES = """
    select
        images.image_id,
        images.variant,
        min(listing.uri) as uri,
        any_value(listing.sha256) as sha256,
        any_value(images.error) as error
    from images
    inner join listing on images.content_id = listing.image_id
    where images.image_id in (select unnest($ids)) and listing.sha256 is not null
    group by images.image_id, images.variant
"""


@dataclass(frozen=True)
class Said:
    """What a page says of an image: its id, its caption, short facts, and real or fake."""

    image_id: str
    caption: str | None
    facts: Sequence[str]
    tone: str = ""


def pictures(
    connection: "DuckDBPyConnection", root: str, said: Sequence[Said], side: int = SIDE
) -> list[Picture]:
    """A picture each, in their order, named by their path below `root`.

    An image whose file cannot be read, or has changed, has words in the place of its picture.
    """
    ids = list(dict.fromkeys(one.image_id for one in said))
    found = connection.sql(_FILES, params={"ids": ids}).to_arrow_table().to_pylist()
    files = {row["image_id"]: row for row in found}
    boxes = boxes_of(connection, ids)
    known = [image_id for image_id in ids if image_id in files]
    rows = [
        Row(at, files[one]["uri"], files[one]["sha256"], files[one]["variant"], files[one]["error"])
        for at, one in enumerate(known)
    ]
    made = dict(zip(known, thumbnails(rows, side), strict=True))
    return [
        _picture(one, files.get(one.image_id), root, boxes.get(one.image_id, []), made)
        for one in said
    ]


def boxes_of(connection: "DuckDBPyConnection", ids: Sequence[str]) -> dict[str, list[Box]]:
    """The objects of images, in their captions' order."""
    sql = "from objects_of($ids)"
    boxes: dict[str, list[Box]] = {}
    for row in connection.sql(sql, params={"ids": list(ids)}).to_arrow_table().to_pylist():
        place = [row[key] for key in ("x0", "y0", "x1", "y1")]
        edges = place if None not in place else [None] * 4
        box = Box(row["phrase"], row["cosine"], *edges)
        boxes.setdefault(row["image_id"], []).append(box)
    return boxes


def short_path(uri: str, root: str) -> str:
    """A path below the corpus's root; the whole uri where it lies elsewhere."""
    folder = f"{root.rstrip('/')}/"
    return uri[len(folder) :] if uri.startswith(folder) else uri


def _picture(
    said: Said,
    file: Mapping[str, Any] | None,
    root: str,
    boxes: list[Box],
    made: Mapping[str, tuple[Any, str | None]],
) -> Picture:
    if file is None:
        why = "the listing has no such image any more"
        return Picture(said.image_id, said.caption, said.facts, boxes, None, why, said.tone)
    thumbnail, problem = made[said.image_id]
    name = short_path(file["uri"], root)
    return Picture(name, said.caption, said.facts, boxes, thumbnail, problem, said.tone)
