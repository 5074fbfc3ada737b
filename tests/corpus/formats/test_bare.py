"""Nothing that no pixel depends on may fail an image, however large, damaged or unknown it is."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pipeline.corpus.file_facts import describe
from pipeline.corpus.formats.bare import bare
from pipeline.corpus.formats.bare import head as head_of
from pipeline.corpus.opened import ImageError
from pipeline.corpus.upright import decode_bytes
from tests.helpers import hostile

SIZE = (24, 16)
PICTURE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (16, 24, 3), np.uint8))
WORKFLOW = b"workflow\0\0" + zlib.compress(bytes(1_200_000))  # 1.2 MB in 1 kB
TURNED = Image.Exif()
TURNED[0x0112] = 6


def encode(format, **options):
    stream = io.BytesIO()
    PICTURE.save(stream, format, **options)
    return stream.getvalue()


def png(before=b"", after=b"", **options):
    data = encode("PNG", **options)
    pixels = data.index(b"IDAT") - 4
    return data[:pixels] + before + data[pixels:-12] + after + data[-12:]


def damaged(chunk):
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def segment(marker, content):
    return bytes((255, marker)) + struct.pack(">H", len(content) + 2) + content


def pixels(data):
    return np.asarray(decode_bytes(data))


CHUNKS = {
    "a packed workflow": hostile.chunk(b"zTXt", WORKFLOW),
    "an international one": hostile.chunk(
        b"iTXt", b"w\0\1\0\0\0" + zlib.compress(bytes(1_200_000))
    ),
    "60 MB of text": hostile.text(60_000_000),
    "60 MB of profile": hostile.profile(60_000_000),
    "a profile that is none": hostile.chunk(b"iCCP", b"icc\0\0garbage"),
    "a short gamma": hostile.chunk(b"gAMA", b"z"),
    "a short size": hostile.chunk(b"pHYs", b"z"),
    "a damaged text": damaged(hostile.chunk(b"tEXt", b"a\0b")),
    "a damaged orientation": damaged(hostile.chunk(b"eXIf", TURNED.tobytes()[6:])),
    "a private chunk": hostile.chunk(b"prVt", b"?"),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", CHUNKS)
def test_a_png_is_read_whatever_stands_beside_its_pixels(name, place):
    data = png(**{place: CHUNKS[name]})
    assert np.array_equal(pixels(data), np.asarray(PICTURE))
    facts = describe(data)
    assert (facts.error, facts.width, facts.bytes) == (None, 24, len(data))


def test_what_pixels_depend_on_stays_in_a_png():
    image = PICTURE.quantize(8)
    stream = io.BytesIO()
    image.save(stream, "PNG", transparency=3, exif=TURNED)
    data = bare(stream.getvalue())
    assert [data.count(name) for name in (b"PLTE", b"tRNS", b"eXIf")] == [1, 1, 1]
    assert np.array_equal(pixels(data), pixels(stream.getvalue()))
    assert decode_bytes(data).size == (16, 24)  # turned


def test_a_png_with_an_unknown_part_that_must_be_known_is_refused():
    """As libpng has it."""
    with pytest.raises(ImageError, match="chunk b'ABCD' cannot be left out"):
        decode_bytes(png(before=hostile.chunk(b"ABCD", b"zz")))
    assert "chunk b'ABCD'" in describe(png(before=hostile.chunk(b"ABCD", b"zz"))).error


def test_a_png_that_is_cut_off_stays_cut_off():
    data = png(after=CHUNKS["a packed workflow"])
    for end in (data.index(b"zTXt") - 20, 60, 20):
        with pytest.raises(ImageError):
            decode_bytes(data[:end])


@pytest.mark.parametrize("marker", [*range(0xE0, 0xF0), 0xFE])
def test_a_jpeg_is_read_whatever_applications_left_in_it(marker):
    data = encode("JPEG", quality=90, icc_profile=b"a profile", comment=b"words", exif=TURNED)
    expected = pixels(data)
    rng = np.random.default_rng(marker)
    heads = (
        b"",
        b"JFIF\0",
        b"Exif\0\0",
        b"ICC_PROFILE\0",
        b"MPF\0II*\0",
        b"Photoshop 3.0\0",
        b"Adobe",
    )
    for head in heads:
        for length in (0, 1, 7):
            content = head + rng.integers(0, 256, length, np.uint8).tobytes()
            if (marker, head) == (0xE1, b"Exif\0\0"):
                continue  # a second block
            scan = data.index(b"\xff\xda")
            for at in (2, scan):
                found = pixels(data[:at] + segment(marker, content) + data[at:])
                assert np.array_equal(found, expected), (head, length, at)


def test_what_pixels_depend_on_stays_in_a_jpeg():
    stream = io.BytesIO()
    PICTURE.convert("CMYK").save(stream, "JPEG", exif=TURNED, comment=b"words")
    data = stream.getvalue()
    without = bare(data)
    assert [without.count(name) for name in (b"Adobe", b"Exif", b"words")] == [1, 1, 0]
    assert np.array_equal(pixels(without), pixels(data))
    plain = encode("JPEG")
    assert bare(plain) is plain  # not copied


def test_comments_and_applications_go_from_a_gif():
    data = encode("GIF", comment=b"words", transparency=1)
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    for extra in (
        b"\x21\xff\0",
        b"\x21\xfe\3abc\0",
        b"\x21\x01\0",
        b"\x21\xff\x0bNETSCAPE2.0\1\1\0",
    ):
        odd = data[:at] + extra + data[at:]
        assert np.array_equal(pixels(odd), pixels(data)), extra
    assert b"words" not in bare(data) and b"\x21\xf9" in bare(data)


@pytest.mark.parametrize("tag", [269, 270, 271, 272, 305, 700, 33723, 34675, 65000])
def test_words_of_a_tiff_that_lie_beyond_its_end_do_no_harm(tag):
    data = bytearray(
        encode(
            "TIFF",
            tiffinfo={tag: b"words and more words" if tag >= 700 else "words and more words"},
        )
    )
    (start,) = struct.unpack_from("<I", data, 4)
    for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, place)[0] == tag:
            struct.pack_into("<I", data, place + 8, 2**31)
    assert np.array_equal(pixels(bytes(data)), np.asarray(PICTURE))


def test_other_formats_stay_as_they_are():
    for format in ("WEBP", "BMP", "PPM", "JPEG2000", "AVIF"):
        data = encode(format)
        assert bare(data) is data
    assert bare(b"") == b""


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_that_stands_in_xmp_alone_turns_nothing(format):
    """Neither OpenCV nor libvips reads it; Pillow does."""
    options = {"xmp": XMP}
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": info}
    if format == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    data = encode(format, **options)
    assert XMP in data
    assert (decode_bytes(data).size, describe(data).orientation) == (SIZE, 1)
    if format == "TIFF":
        options = {"tiffinfo": {700: XMP, 274: 6}}
    turned = encode(format, exif=TURNED, **options)
    assert (decode_bytes(turned).size, describe(turned).orientation) == (SIZE[::-1], 6)


def test_a_head_is_what_bare_begins_with_up_to_the_pixels():
    data = encode("JPEG", comment=b"words", exif=TURNED)
    short = head_of(data)
    assert bare(data).startswith(short) and b"words" not in short and b"Exif" in short
    assert short[-14:-10] == b"\xff\xda\x00\x0c" and len(short) < len(data)  # 12 bytes of it
    data = png(before=hostile.text(5000))
    short = head_of(data)
    assert bare(data).startswith(short) and short.endswith(b"IDAT") and len(short) == 8 + 25 + 8


@pytest.mark.parametrize("format", ["GIF", "TIFF", "WEBP", "BMP"])
def test_what_is_not_read_from_its_beginning_on_has_no_head_of(format):
    assert head_of(encode(format)) is None


def test_what_ends_before_its_pixels_has_no_head():
    data = encode("JPEG")
    assert (
        head_of(data[: data.index(b"\xff\xda")]) is None and head_of(data[:2] + b"\xff\xd9") is None
    )
    data = encode("PNG")
    assert head_of(data[: data.index(b"IDAT")]) is None and head_of(b"") is None
    with pytest.raises(ValueError, match="cannot be left out"):
        head_of(png(after=hostile.chunk(b"ABCD", b"zz")))
