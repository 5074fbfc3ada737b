"""What decoding an image may take: refused from its header, before any of it is taken.

The estimates are Pillow 12's and 13's own memory, measured by `tests.benchmarks.hostile`.
"""

from collections.abc import Iterator

from PIL import Image

from pipeline.corpus.formats import jpeg, jxl, png
from pipeline.corpus.formats.known import OTHERS
from pipeline.corpus.limits import Limits
from pipeline.corpus.opened import ImageError, orientation

# Of a JPEG. libjpeg's own progressive files have 10; each costs a pass over all of the image.
MAX_SCANS = 100

TILE = 2**22  # pixels that are worked on in one go

_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # else 4 bytes
# bytes for each pixel that a format's decoder takes beside the image: canvases, planes, copies
# of the OTHERS what the most of them takes
_DECODER = {"WEBP": 12, "AVIF": 12, **dict.fromkeys(OTHERS, 16)}
_JPEG2000_BAND = 6  # each component as 32-bit integers, and a copy of what is written
_COEFFICIENT = 2  # of a JPEG in several scans, for each pixel of each component
_TIFF_PIXEL = 4  # of the strip or tile at hand, at least: RGBA where libtiff converts colours

_DEFLATE = 1040  # zlib packs nothing tighter than 1032 to 1


def check(image: Image.Image, data: bytes, limits: Limits) -> None:
    """ImageError when decoding `image`, opened from `data` and not loaded yet, would cost too much.

    By the `limits`; or a JPEG having more than MAX_SCANS scans. Also for a PNG with fewer bytes
    than its pixels can be packed into.
    """
    several = _in_scans(image, data)
    if several and (scans := jpeg.scans(data, MAX_SCANS)) > MAX_SCANS:
        raise ImageError(f"image has {scans:,} scans, over {MAX_SCANS}: decoding would take long")
    width, height = image.size
    if image.format == "PNG" and png.unpacked(data) > _DEFLATE * len(data):
        raise ImageError(
            f"image file is truncated: its {len(data):,} bytes cannot hold {width}x{height} pixels"
        )
    if why := limits.excess(width, height, peak(image, several)):
        raise ImageError(why)


def check_unopened(data: bytes, limits: Limits) -> None:
    """`check` of what is decoded when it is opened: JPEG XL."""
    if (size := coded_size(data)) and (why := limits.excess(*size, coded_peak(size))):
        raise ImageError(why)


def coded_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG XL file; None of others, ImageError where it is damaged."""
    try:
        return jxl.size(data)
    except ValueError as error:
        raise ImageError(f"image is damaged: {error}") from error


def coded_peak(size: tuple[int, int]) -> int:
    """`peak` of a JPEG XL file of so many pixels."""
    return size[0] * size[1] * (_DECODER["JXL"] + 2 * 4)


def needed(image: Image.Image, data: bytes) -> int:
    """`peak` of an image that was opened from `data` and not loaded yet."""
    return peak(image, _in_scans(image, data))


def peak(image: Image.Image, in_scans: bool = False) -> int:
    """The most bytes that decoding takes at once, from the header of an opened image.

    The largest of three steps: decoding (`in_scans`: a JPEG of several scans), conversion to RGB,
    and turning upright.
    """
    own = _stored(image.size, _PIXEL.get(image.mode, 4))
    rgb = _stored(image.size, 4)
    steps = [own + _decoder(image, in_scans)]
    if image.mode != "RGB" or image.has_transparency_data:
        steps.append(own + rgb)
    if (turn := orientation(image)) != 1:
        width, height = image.size
        turned = (height, width) if turn > 4 else (width, height)
        steps.append(rgb + _stored(turned, 4))
    return max(steps)


def tiles(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) of at most TILE pixels that make up an image.

    What takes many bytes for a pixel is done one after the other. Pixels come in the order of rows.
    """
    width, height = size
    wide = min(width, TILE)
    high = TILE // wide
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield left, top, min(left + wide, width), min(top + high, height)


def _stored(size: tuple[int, int], pixel: int) -> int:
    """Bytes of a Pillow image: rows of whole 4 bytes, and an address for each."""
    return size[1] * (8 + -(-size[0] * pixel // 4) * 4)


def _decoder(image: Image.Image, in_scans: bool) -> int:
    pixels = image.width * image.height
    if image.format == "TIFF":
        return _tiff_piece(image)
    if image.format == "JPEG2000":
        return _JPEG2000_BAND * len(image.getbands()) * pixels
    if in_scans:
        return _COEFFICIENT * len(image.getbands()) * pixels
    return _DECODER.get(image.format or "", 0) * pixels


def _tiff_piece(image: Image.Image) -> int:
    """Bytes of one strip or tile, which libtiff unpacks as a whole; 0 of unpacked files."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(259, 1) == 1:
        return 0
    wide, high = (_number(tags.get(tag)) for tag in (322, 323))
    if not wide or not high:
        wide, high = image.width, min(_number(tags.get(278)) or image.height, image.height)
    bits = max(map(_number, _several(tags.get(258, 1))), default=1)
    samples = _number(tags.get(277)) or 1
    return wide * high * max(_TIFF_PIXEL, -(-bits * samples // 8))


def _several(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _number(value: object) -> int:
    """A tag's number; 0 for one that is none."""
    value = _several(value)[0] if _several(value) else 0
    return value if isinstance(value, int) and value > 0 else 0


def _in_scans(image: Image.Image, data: bytes) -> bool:
    """Whether a JPEG comes in several scans: progressive, or its first has not all components."""
    if image.format not in ("JPEG", "MPO"):
        return False
    # Pillow has read as far as the end of the first scan's header
    count = len(image.getbands())
    start = image.fp.tell() - 8 - 2 * count if image.fp is not None else 0
    whole = bytes((255, jpeg.SCAN, 0, 6 + 2 * count, count))
    return bool(image.info.get("progressive")) or data[start : start + 5] != whole
