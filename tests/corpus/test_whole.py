"""What is not all there is an error, and no picture with a flat rest."""

import io
import struct
import zlib
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from pipeline.corpus.formats import jpeg, png, tiff
from pipeline.corpus.opened import ImageError
from pipeline.corpus.upright import decode_bytes
from tests.helpers import hostile

RNG = np.random.default_rng(5)
SMOOTH = (np.add.outer(np.arange(64), np.arange(96))[..., None] * [1.0, 1.3, 0.6] % 256).astype(
    np.uint8
)
NOISE = RNG.integers(0, 256, (64, 96, 3), np.uint8)

JPEGS = {
    "plain": {},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "4:4:4": {"subsampling": 0},
    "restarts": {"restart_marker_blocks": 3},
    "progressive": {"progressive": True},
    "own tables": {"optimize": True},
}


def a_jpeg(name, pixels=NOISE):
    options = dict(JPEGS[name])
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(options.pop("mode", "RGB")).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("pixels", [SMOOTH, NOISE], ids=["smooth", "noise"])
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_that_ends_early_is_an_error_even_where_it_says_that_it_ends(name, pixels):
    data = a_jpeg(name, pixels)
    decode_bytes(data)
    # in a progressive one of its last scan: without earlier ones Pillow itself misses it
    start = data.rindex(b"\xff\xda") + 14
    for share in (0.1, 0.5, 0.9):
        cut = data[: start + int(share * (len(data) - start))].rstrip(b"\xff")
        with pytest.raises(ImageError, match="truncated"):
            decode_bytes(cut + b"\xff\xd9")
        with pytest.raises(ImageError, match="truncated"):
            decode_bytes(cut)


def test_a_jpeg_that_ends_in_grey_or_brings_more_behind_it_is_whole():
    grey = NOISE.copy()
    grey[32:] = 128
    for name in JPEGS:
        data = a_jpeg(name, grey)
        film = data[len(data) // 3 :]  # with an end of its own
        assert decode_bytes(data).size == decode_bytes(data + film).size == (96, 64)


def test_segments_of_a_jpeg():
    data = a_jpeg("restarts")
    found = list(jpeg.segments(data))
    assert [marker for marker, _, _ in found if marker in (jpeg.SCAN, 0xD9)] == [jpeg.SCAN, 0xD9]
    assert found[0][1] == 2 and found[-1][2] == len(data)
    assert all(a[2] == b[1] for a, b in pairwise(found) if a[0] != jpeg.SCAN)
    assert jpeg.prolonged(data[:-2]) is None


def a_png(rows, colour, pixels, interlaced=0, height=64):
    """One that says it is 96 x `height`, and has the first rows of its pixels."""
    head = struct.pack(">IIBBBBB", 96, height, 8, colour, 0, 0, interlaced)
    raw = b"".join(b"\0" + row.tobytes() for row in pixels[:rows])
    parts = (hostile.chunk(b"IHDR", head), hostile.chunk(b"IDAT", zlib.compress(raw)))
    return png.SIGNATURE + b"".join(parts) + hostile.chunk(b"IEND", b"")


def test_a_png_with_fewer_rows_than_it_says_is_an_error():
    assert np.array_equal(np.asarray(decode_bytes(a_png(64, 2, SMOOTH))), SMOOTH)
    for rows, share in ((8, "12%"), (63, "98%")):
        with pytest.raises(ImageError, match=f"truncated: it has {share} of its pixels"):
            decode_bytes(a_png(rows, 2, SMOOTH))


def test_a_png_that_ends_in_black_is_whole():
    black = SMOOTH.copy()
    black[30:] = 0
    assert np.array_equal(np.asarray(decode_bytes(a_png(64, 2, black))), black)
    clear = np.zeros((64, 96, 4), np.uint8)
    assert (np.asarray(decode_bytes(a_png(64, 6, clear))) == 255).all()  # white shines through


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (7, 9), (8, 8), (96, 64)])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_bytes_of_an_interlaced_png(size, mode):
    """Each pass has rows of its own: W3C, section 8.2."""
    bits = {"1": 1, "L": 8, "RGB": 24, "RGBA": 32}[mode]
    colour = {"1": 0, "L": 0, "RGB": 2, "RGBA": 6}[mode]
    head = struct.pack(">IIBBBBB", *size, min(bits, 8), colour, 0, 0, 1)
    rows = np.indices(size[::-1])
    total = 0
    for x, y, wide, high in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        inside = (rows[1] % wide == x) & (rows[0] % high == y)
        across, down = inside.any(0).sum(), inside.any(1).sum()
        total += down * (1 + -(-across * bits // 8)) if across else 0
    data = png.SIGNATURE + hostile.chunk(b"IHDR", head)
    assert png.unpacked(data) == total
    raw = bytes(int(total))
    whole = data + hostile.chunk(b"IDAT", zlib.compress(raw)) + hostile.chunk(b"IEND", b"")
    assert decode_bytes(whole).size == size
    if total > 10:
        short = data + hostile.chunk(b"IDAT", zlib.compress(raw[:-5])) + hostile.chunk(b"IEND", b"")
        with pytest.raises(ImageError, match="truncated"):
            decode_bytes(short)


def test_a_tiff_with_fewer_strips_than_rows_is_an_error():
    tags = {256: 96, 257: 64, 278: 8, 273: tuple(range(8))}
    assert tiff.lacking(tags, 96, 64) is None
    assert tiff.lacking({**tags, 273: (1, 2, 3)}, 96, 64) == (3, 8)
    assert tiff.lacking({**tags, 284: 2, 277: 3}, 96, 64) == (8, 24)  # a plane a colour
    assert tiff.lacking({256: 96, 257: 64, 273: 8}, 96, 64) is None
    assert tiff.lacking({322: 64, 323: 32, 324: (1, 2)}, 96, 64) == (2, 4)
    data = bytearray(hostile.many_strips(60))
    start = struct.unpack_from("<I", data, 4)[0] + 2
    places = range(start, start + 9 * 12, 12)
    at = next(place for place in places if struct.unpack_from("<H", data, place)[0] == 273)
    struct.pack_into("<I", data, at + 4, 3)
    with pytest.raises(ImageError, match="truncated: 3 of its 60 strips"):
        decode_bytes(bytes(data))


@pytest.mark.parametrize("bits", [8, 16])
def test_greys_of_a_tiff_whose_white_is_zero_are_inverted(bits):
    """As OpenCV and libvips do for both depths; Pillow leaves 16 bits as they are."""
    values = (np.add.outer(np.arange(64), np.arange(96)) * 400).astype(np.uint16)
    stream = io.BytesIO()
    grey = values if bits == 16 else (values // 257).astype(np.uint8)
    Image.fromarray(grey).save(stream, "TIFF")
    data = bytearray(stream.getvalue())
    (start,) = struct.unpack_from("<I", data, 4)
    for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, place)[0] == 262:
            struct.pack_into("<I", data, place + 8, 0)
    black, white = decode_bytes(stream.getvalue()), decode_bytes(bytes(data))
    assert np.array_equal(255 - np.asarray(black), np.asarray(white))
    assert np.asarray(black)[0, 0, 0] == 0 and np.asarray(white)[0, 0, 0] == 255


def test_a_progressive_jpeg_that_ends_within_any_of_its_scans_is_an_error():
    stream = io.BytesIO()
    Image.fromarray(NOISE).save(stream, "JPEG", progressive=True, quality=95)
    data = stream.getvalue()
    starts = [start for marker, start, _ in jpeg.segments(data) if marker == jpeg.SCAN]
    assert len(starts) > 5
    for start, end in pairwise([*starts, len(data)]):
        cut = data[: start + 14 + (end - start - 14) // 3].rstrip(b"\xff")
        with pytest.raises(ImageError):
            decode_bytes(cut + b"\xff\xd9")
    # between two of them it is a coarser picture, as every decoder has it
    assert decode_bytes(data[: starts[-1]] + b"\xff\xd9").size == (96, 64)
