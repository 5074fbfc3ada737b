"""An image on a page: a thumbnail within the page itself, and its objects' boxes drawn over it."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.corpus import upright
from pipeline.corpus.sources.read import together

if TYPE_CHECKING:
    from PIL import Image

SIDE = 320  # pixels of a thumbnail's longer side; a smaller image keeps its size
LARGE = 960  # of an image that has a page to itself
_QUALITY = 80  # JPEG: some 15 kB of a photograph at 320 pixels


@dataclass(frozen=True)
class Box:
    """An object: the `phrase` of the caption, its cosine, and where (shares of width and height).

    Without a place (`x0` None) it is named, and not drawn. `said`: stands in the cosine's place.
    """

    phrase: str
    cosine: float | None = None
    x0: float | None = None
    y0: float | None = None
    x1: float | None = None
    y1: float | None = None
    said: str | None = None


@dataclass(frozen=True)
class Thumbnail:
    """A data URI, and the pixels of the image in it."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """An image with what is said of it.

    `name`: its path. `facts`: short texts, such as `P(fake) 0.93`. Where there is no `thumbnail`,
    `problem` says why. `tone`: real, fake or unsure, or nothing.
    """

    name: str
    caption: str | None = None
    facts: Sequence[str] = ()
    boxes: Sequence[Box] = ()
    thumbnail: Thumbnail | None = None
    problem: str | None = None
    tone: str = ""

    @property
    def alt(self) -> str:
        """What the picture shows, for who does not see it."""
        said = [f"Image {self.name}"]
        if self.caption:
            said.append(f"captioned: {self.caption}")
        drawn = [box.phrase for box in self.boxes if box.x0 is not None]
        if drawn:
            said.append(f"with boxes around: {', '.join(drawn)}")
        return "; ".join(said)


def thumbnail(image: "Image.Image", side: int = SIDE) -> Thumbnail:
    """An upright RGB image of at most `side` pixels, as a JPEG (a small one as a PNG) in a URI."""
    from PIL import Image

    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if max(image.size) <= side // 2:  # few pixels, seen enlarged: no artefacts that are not its own
        small.save(stream, kind := "PNG")
    else:
        small.save(stream, kind := "JPEG", quality=_QUALITY)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/{kind.lower()};base64,{data}", *small.size)


def thumbnails(
    rows: Sequence[upright.Row], side: int = SIDE
) -> list[tuple[Thumbnail | None, str | None]]:
    """(thumbnail, None) of each image, or (None, why there is none): it may lie nowhere any more.

    `rows` are those of `images`: what they name is read from its uri, checked against its SHA-256,
    and shown in the row's variant.
    """

    def one(number: int) -> tuple[Thumbnail | None, str | None]:
        row = rows[number]
        return upright.attempt(lambda: thumbnail(upright.picture(row, upright.content(row)), side))

    return together([row.uri for row in rows], one)
