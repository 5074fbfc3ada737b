"""What can be said of an image file without decoding its pixels."""

import hashlib
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pipeline.corpus import budget
from pipeline.corpus.formats import jxl
from pipeline.corpus.opened import (
    ImageError,
    open_image,
    opened_head,
    orientation,
    stripped,
    stripped_head,
)

_EXIF_IFD = 0x8769  # where a TIFF keeps what other formats have a block for
_TABLES_DIGITS = 16  # of a SHA-256
_SHORT = 4096  # bytes of a header that may come again; those with a photograph's EXIF do not

# ITU-T T.81 annex K.1, luminance, in natural order: what libjpeg scales by its quality
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
).reshape(-1)


class Facts(NamedTuple):
    """The content's identity (`sha256`, `bytes`), and the header's facts or else the `error`.

    width and height are in pixels as stored; orientation is EXIF's 1..8 (1 when there is none);
    jpeg_quality is libjpeg's 1..100, and jpeg_tables names the quantisation tables themselves (16
    hex digits; equal where all tables are): both are None unless the format is JPEG. has_exif says
    whether an EXIF block is there before the pixels, readable or not. decode_bytes is the most
    memory that decoding takes (`corpus.budget.peak`). Of a JPEG XL file the mode is None.
    """

    sha256: str
    bytes: int
    format: str | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    orientation: int | None = None
    jpeg_quality: int | None = None
    jpeg_tables: str | None = None
    has_exif: bool | None = None
    decode_bytes: int | None = None
    error: str | None = None


_Header = tuple[Any, ...]  # of Facts from `format` to `decode_bytes`


def describe(data: bytes) -> Facts:
    """The facts of an image file's content; reads its header only, so a truncated body passes.

    Never raises for bad content: an empty file, something that is no image and a damaged header
    give an `error`.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return Facts(sha256, len(data), *_header(data))
    except ImageError as error:
        return Facts(sha256, len(data), error=str(error))


def _header(data: bytes) -> _Header:
    if size := budget.coded_size(data):  # by its own header: its decoder would decode it
        exif, needed = jxl.has_exif(data), budget.coded_peak(size)
        return "JXL", *size, None, 1, None, None, exif, needed
    if (head := stripped_head(data)) is not None:
        found = _known(head) if len(head) <= _SHORT else _of_head(head)
        if found is not None:
            return found
    kept = stripped(data)
    return _of_image(open_image(kept), kept)


def _of_head(head: bytes) -> _Header | None:
    image = opened_head(head)
    return None if image is None else _of_image(image, head)


# what one program writes at one size and quality has the same header, up to the pixels
_known = lru_cache(maxsize=4096)(_of_head)


def _of_image(image: Image.Image, data: bytes) -> _Header:
    return (
        _format(image),
        *_stored_size(image),
        image.mode,
        orientation(image),
        _jpeg_quality(image),
        jpeg_tables(image),
        _has_exif(image),
        budget.needed(image, data),
    )


def _stored_size(image: Image.Image) -> tuple[int, int]:
    tags = getattr(image, "tag_v2", None)  # TIFF: Pillow's own size is the upright one
    return image.size if tags is None else (tags[256], tags[257])


def _format(image: Image.Image) -> str | None:
    # a multi-picture file is a JPEG with further pictures behind it
    return "JPEG" if image.format == "MPO" else image.format


def _jpeg_quality(image: Image.Image) -> int | None:
    """libjpeg's quality whose luminance table is nearest (L1) to the file's; exact for its own."""
    table = (getattr(image, "quantization", None) or {}).get(0)
    return None if table is None or _format(image) != "JPEG" else _nearest(tuple(table))


@lru_cache(maxsize=1024)  # encoders have few tables, and corpora few encoders
def _nearest(table: tuple[int, ...]) -> int:
    distances = np.abs(_standard_tables() - np.asarray(table)).sum(axis=1)
    return int(distances.argmin()) + 1


def jpeg_tables(image: Image.Image) -> str | None:
    """16 hex digits that name the quantisation tables of an opened JPEG; None for other formats.

    Encoders have tables of their own, so these can tell which one wrote a file where the estimated
    quality is the same.
    """
    tables = getattr(image, "quantization", None)
    if not tables or _format(image) != "JPEG":
        return None
    return _named(tuple((number, tuple(tables[number])) for number in sorted(tables)))


@lru_cache(maxsize=1024)
def _named(tables: tuple[tuple[int, tuple[int, ...]], ...]) -> str:
    said = repr([(number, list(table)) for number, table in tables])
    return hashlib.sha256(said.encode()).hexdigest()[:_TABLES_DIGITS]


def _has_exif(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        return _EXIF_IFD in tags
    return bool(image.info.get("exif"))


@cache
def _standard_tables() -> np.ndarray:
    """libjpeg's baseline luminance tables of quality 1..100, int64 [100, 64] (jcparam.c)."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((_LUMINANCE * scale[:, None] + 50) // 100, 1, 255)
