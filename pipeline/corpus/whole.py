"""Whether a file holds all of the image that it announces; decoders fill up what is missing.

Pillow, libjpeg's own tools and libvips then return a picture with a flat rest, and no error.
"""

import io

from PIL import Image, ImageChops

from pipeline.corpus.formats import jpeg, png, tiff
from pipeline.corpus.opened import ImageError

_FILLED = 128  # what libjpeg makes of the blocks of a scan without data


def check_before(image: Image.Image) -> None:
    """ImageError where the header of an opened image lists fewer pieces than it is in (TIFF)."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return
    try:
        found = tiff.lacking(tags, tags[256], tags[257])
    except (TypeError, KeyError, ZeroDivisionError):  # tags of odd types: the decoder will say it
        return
    if found:
        raise ImageError(f"image file is truncated: {found[0]} of its {found[1]} strips or tiles")


def check_after(image: Image.Image, data: bytes) -> None:
    """ImageError where the data of a JPEG or PNG end before the `image` that was loaded from them.

    Of what a truncated one looks like only: a JPEG whose last pixel is grey as libjpeg fills it, a
    PNG whose last rows are empty. But a JPEG of several scans (progressive) may have every pixel
    from the first of them, and so is decoded twice.
    """
    if image.format in ("JPEG", "MPO"):
        several = image.info.get("progressive") or jpeg.scans(data, 1) > 1
        if several or _ends_filled(image):
            _check_jpeg(image, data)
    elif image.format == "PNG" and _ends_empty(image):
        there, wanted = png.packed(data), png.unpacked(data)
        if there < wanted:
            raise ImageError(f"image file is truncated: it has {there / wanted:.0%} of its pixels")


def _check_jpeg(image: Image.Image, data: bytes) -> None:
    longer = jpeg.prolonged(data)
    if longer is None:
        return
    with Image.open(io.BytesIO(longer), formats=("JPEG", "MPO")) as other:
        other.load()
        if ImageChops.difference(image, other).getbbox(alpha_only=False) is not None:
            raise ImageError("image file is truncated: its data end before the image does")


def _ends_filled(image: Image.Image) -> bool:
    last = image.getpixel((image.width - 1, image.height - 1))
    each = last if isinstance(last, tuple) else (last,)
    return all(abs(value - _FILLED) <= 1 for value in each)


def _ends_empty(image: Image.Image) -> bool:
    """Of interlaced images the last pass has every other row."""
    width, height = image.size
    rows = (image.crop((0, row, width, row + 1)) for row in range(max(0, height - 2), height))
    return any(row.getbbox(alpha_only=False) is None for row in rows)
