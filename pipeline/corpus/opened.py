"""An image file with its header read and its pixels not yet decoded."""

import io
import logging
import re
import warnings
from contextlib import suppress

from PIL import Image

from pipeline.corpus.formats.bare import bare
from pipeline.corpus.formats.tiff import MAX_STRIPS, strips
from pipeline.errors import worded

# Rasters only: Pillow would hand an EPS file to another program, and draw a WMF one.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000")

# A guard against decompression bombs; Pillow warns at half of it, ours decides. The memory that
# decoding takes has a limit of its own: `pipeline.corpus.budget`.
MAX_PIXELS = 178_956_970
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# of tags that no pixel depends on: see `bare` and `orientation`
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)  # what it logs, it raises too

# that Pillow knows by further packages only
_OTHERS = {
    "HEIF": re.compile(rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
}

_ORIENTATION = 0x0112


class ImageError(ValueError):
    """The bytes are not an image that can be used; the message says why."""


def stripped(data: bytes) -> bytes:
    """The file without what no pixel depends on, for `open_image`; ImageError for damaged ones."""
    try:
        return bare(data)
    except ValueError as error:
        raise ImageError(f"image is damaged: {error}") from error


def open_image(data: bytes) -> Image.Image:
    """The image with its header read and its pixels not yet decoded; ImageError when impossible.

    `data`: as `stripped` leaves them.
    """
    if not data:
        raise ImageError("file is empty (0 bytes)")
    if (pieces := strips(data)) > MAX_STRIPS:
        raise ImageError(f"image is in {pieces:,} strips or tiles, over {MAX_STRIPS:,}")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise ImageError(_unread(data)) from None
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


def _unread(data: bytes) -> str:
    """Why a file is in none of FORMATS: it is in another one, or in none that Pillow knows."""
    Image.init()
    for name, (factory, accept) in Image.OPEN.items():
        if name in FORMATS:
            continue
        with suppress(Exception):  # on what is not its own a reader raises anything
            if accept is None or accept(data[:16]) is True:
                factory(io.BytesIO(data), "")  # reads the header: signatures are short
                return f"format not read: {name}"
    other = next((name for name, start in _OTHERS.items() if start.match(data)), None)
    return f"format not read: {other}" if other else _no_image(data)


def _no_image(data: bytes) -> str:
    return f"not an image that can be read: it starts with {data[:12]!r}"


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 from the header; 1 when it is absent, out of range or unreadable.

    Like every viewer, takes an image whose EXIF block is damaged as it is stored. An orientation
    that stands in XMP alone turns nothing, as in OpenCV and libvips.
    """
    for name in ("XML:com.adobe.xmp", "xmp"):  # where Pillow would look for it
        image.info.pop(name, None)
    try:
        # PNG's own getexif would decode the pixels to look for a block behind them
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # the EXIF reader raises anything on damaged blocks
        return 1
    return value if value in range(1, 9) else 1
