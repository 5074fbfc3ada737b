"""An image file with its header read and its pixels not yet decoded."""

import io
import logging
import warnings
from contextlib import suppress
from functools import cache
from importlib import import_module
from time import monotonic

from PIL import Image

from pipeline.corpus.formats.bare import bare, head
from pipeline.corpus.formats.known import FORMATS, NOT_READ, OTHERS, PLUGINS, READABLE, has_plugin
from pipeline.corpus.formats.tiff import MAX_STRIPS, strips
from pipeline.errors import worded

# Pillow's own guard against decompression bombs is of pixels only: `pipeline.corpus.limits` decides
Image.MAX_IMAGE_PIXELS = None
# of tags that no pixel depends on: see `bare` and `orientation`
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)  # what it logs, it raises too

_ORIENTATION = 0x0112


class ImageError(ValueError):
    """The bytes are not an image that can be used; the message says why."""


def stripped(data: bytes) -> bytes:
    """The file without what no pixel depends on, for `open_image`; ImageError for damaged ones."""
    try:
        return bare(data)
    except ValueError as error:
        raise ImageError(f"image is damaged: {error}") from error


def stripped_head(data: bytes) -> bytes | None:
    """Of `stripped` what is read to open it, where that is known beforehand: of JPEG and PNG."""
    try:
        return head(data)
    except ValueError as error:
        raise ImageError(f"image is damaged: {error}") from error


def opened_head(data: bytes) -> Image.Image | None:
    """The image of a `stripped_head`; None unless it is the same as of the whole file.

    It is where all was read, and nothing beyond: then no reader could have told the difference.
    """
    try:
        image = open_image(data)
    except ImageError:
        return None
    same = image.tile and image.fp is not None and image.fp.tell() == len(data)
    return image if same else None


def open_image(data: bytes, until: float | None = None) -> Image.Image:
    """The image with its header read and its pixels not yet decoded; ImageError when impossible.

    `data`: as `stripped` leaves them. What is read of them after `until` (`time.monotonic`) is an
    ImageError as well, while pixels are decoded too. The decoder of JPEG XL reads all pixels here.
    """
    if not data:
        raise ImageError("file is empty (0 bytes)")
    if (pieces := strips(data)) > MAX_STRIPS:
        raise ImageError(f"image is in {pieces:,} strips or tiles, over {MAX_STRIPS:,}")
    for formats_of in (lambda _: FORMATS, _others):
        stream = io.BytesIO(data) if until is None else _Timed(data, until)
        try:
            return Image.open(stream, "r", formats_of(data))
        except Image.UnidentifiedImageError:
            continue
        except (MemoryError, ImageError):
            raise
        except Exception as error:  # Pillow's readers raise anything on a damaged header
            raise ImageError(f"image is damaged: {worded(error)}") from error
    raise ImageError(_unread(data))


class _Timed(io.BytesIO):
    """Bytes that are read until a time: decoders take them in pieces, and so can be stopped."""

    def __init__(self, data: bytes, until: float):
        super().__init__(data)
        self._until = until

    def read(self, size: int | None = -1, /) -> bytes:
        if monotonic() > self._until:
            raise ImageError("decoding took longer than corpus.limits.seconds")
        return super().read(size)


def _others(data: bytes) -> list[str]:
    """The OTHERS that the data may be in, ready to be read; those with a package where it is."""
    for format, plugin in PLUGINS.items():
        if plugin.start.match(data):
            if has_plugin(format):
                _register(format)
                return [format]
            return []
    return [format for format in OTHERS if format not in PLUGINS]


@cache
def _register(format: str) -> None:
    module = import_module(PLUGINS[format].module)
    if format == "HEIF":
        module.register_heif_opener(thumbnails=False)
    else:
        module.JpegXLImagePlugin.DECODE_THREADS = 0  # several images are decoded at once


def _unread(data: bytes) -> str:
    """Why a file is in none of READABLE: it is in another format, or in none that is known."""
    for format, plugin in PLUGINS.items():
        if plugin.start.match(data):
            lacking = f"pip install 'item-pipeline[{plugin.extra}]'"
            return f"{NOT_READ}{format} ({'damaged' if has_plugin(format) else lacking})"
    Image.init()
    for name, (factory, accept) in Image.OPEN.items():
        if name in READABLE:
            continue
        with suppress(Exception):  # on what is not its own a reader raises anything
            if accept is None or accept(data[:16]) is True:
                factory(io.BytesIO(data), "")  # reads the header: signatures are short
                return f"{NOT_READ}{name}"
    return _no_image(data)


def _no_image(data: bytes) -> str:
    return f"not an image that can be read: it starts with {data[:12]!r}"


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 from the header; 1 when it is absent, out of range or unreadable.

    Like every viewer, takes an image whose EXIF block is damaged as it is stored. An orientation
    that stands in XMP alone turns nothing, as in OpenCV and libvips. HEIF and JPEG XL say it beside
    their EXIF, and their decoders turn the image.
    """
    if image.format in PLUGINS:
        return 1
    for name in ("XML:com.adobe.xmp", "xmp"):  # where Pillow would look for it
        image.info.pop(name, None)
    try:
        # PNG's own getexif would decode the pixels to look for a block behind them
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # the EXIF reader raises anything on damaged blocks
        return 1
    return value if value in range(1, 9) else 1
