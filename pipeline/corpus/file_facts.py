"""What can be said of an image file without decoding its pixels."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from pipeline.corpus.formats.tiff import MAX_STRIPS, strips
from pipeline.errors import worded

# Rasters only: Pillow would hand an EPS file to another program, and draw a WMF one.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000")

# A guard against decompression bombs; Pillow warns at half of it, ours decides. The memory that
# decoding takes has a limit of its own: `pipeline.corpus.budget`.
MAX_PIXELS = 178_956_970
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", message="Corrupt EXIF data")  # see `orientation`

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769  # where a TIFF keeps what other formats have a block for
_TABLES_DIGITS = 16  # of a SHA-256

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


class ImageError(ValueError):
    """The bytes are not an image that can be used; the message says why."""


@dataclass(frozen=True)
class Facts:
    """The content's identity (`sha256`, `bytes`), and the header's facts or else the `error`.

    width and height are in pixels as stored; orientation is EXIF's 1..8 (1 when there is none);
    jpeg_quality is libjpeg's 1..100, and jpeg_tables names the quantisation tables themselves (16
    hex digits; equal where all tables are): both are None unless the format is JPEG. has_exif says
    whether an EXIF block is there before the pixels, readable or not.
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
    error: str | None = None


def describe(data: bytes) -> Facts:
    """The facts of an image file's content; reads its header only, so a truncated body passes.

    Never raises for bad content: an empty file, something that is no image, a damaged header and an
    image of more than MAX_PIXELS pixels give an `error`.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        image = open_image(data)
        width, height = _stored_size(image)
        return Facts(
            sha256=sha256,
            bytes=len(data),
            format=_format(image),
            width=width,
            height=height,
            mode=image.mode,
            orientation=orientation(image),
            jpeg_quality=_jpeg_quality(image),
            jpeg_tables=jpeg_tables(image),
            has_exif=_has_exif(image),
        )
    except ImageError as error:
        return Facts(sha256=sha256, bytes=len(data), error=str(error))


def open_image(data: bytes) -> Image.Image:
    """The image with its header read and its pixels not yet decoded; ImageError when impossible."""
    if not data:
        raise ImageError("file is empty (0 bytes)")
    if (pieces := strips(data)) > MAX_STRIPS:
        raise ImageError(f"image is in {pieces:,} strips or tiles, over {MAX_STRIPS:,}")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise ImageError(f"not an image that can be read: it starts with {data[:12]!r}") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"image is too large: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise anything on a damaged header
        raise ImageError(f"image is damaged: {worded(error)}") from error
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"image is too large: {image.width}x{image.height} is over {MAX_PIXELS:,} pixels"
        )
    return image


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 from the header; 1 when it is absent, out of range or unreadable.

    Like every viewer, takes an image whose EXIF block is damaged as it is stored.
    """
    try:
        # PNG's own getexif would decode the pixels to look for a block behind them
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # the EXIF reader raises anything on damaged blocks
        return 1
    return value if value in range(1, 9) else 1


def _stored_size(image: Image.Image) -> tuple[int, int]:
    tags = getattr(image, "tag_v2", None)  # TIFF: Pillow's own size is the upright one
    return image.size if tags is None else (tags[256], tags[257])


def _format(image: Image.Image) -> str | None:
    # a multi-picture file is a JPEG with further pictures behind it
    return "JPEG" if image.format == "MPO" else image.format


def _jpeg_quality(image: Image.Image) -> int | None:
    """libjpeg's quality whose luminance table is nearest (L1) to the file's; exact for its own."""
    table = (getattr(image, "quantization", None) or {}).get(0)
    if table is None or _format(image) != "JPEG":
        return None
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
    said = repr([(number, list(tables[number])) for number in sorted(tables)])
    return hashlib.sha256(said.encode()).hexdigest()[:_TABLES_DIGITS]


def _has_exif(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        return _EXIF_IFD in tags
    return any(image.info.get(name) for name in ("exif", "Raw profile type exif"))


@cache
def _standard_tables() -> np.ndarray:
    """libjpeg's baseline luminance tables of quality 1..100, int64 [100, 64] (jcparam.c)."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((_LUMINANCE * scale[:, None] + 50) // 100, 1, 255)
