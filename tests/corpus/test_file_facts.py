import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from pipeline.corpus import file_facts
from pipeline.corpus.file_facts import describe


def picture(width=24, height=16) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def test_facts_of_a_jpeg():
    data = encode(picture(), "JPEG", quality=83)
    facts = describe(data)
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
    assert facts.bytes == len(data)
    assert (facts.format, facts.mode, facts.width, facts.height) == ("JPEG", "RGB", 24, 16)
    assert (facts.orientation, facts.jpeg_quality, facts.error) == (1, 83, None)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_format_comes_from_the_content(format):
    facts = describe(encode(picture(), format))
    assert (facts.format, facts.width, facts.height) == (format, 24, 16)
    assert (facts.jpeg_quality, facts.jpeg_tables) == (None, None)
    assert facts.error is None


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_quality_is_exact_for_libjpegs_own_tables(mode):
    image = picture(8, 8).convert(mode)
    estimates = [describe(encode(image, "JPEG", quality=q)).jpeg_quality for q in range(1, 101)]
    assert estimates == list(range(1, 101))


def test_quality_of_other_tables_is_the_nearest():
    base = Image.open(io.BytesIO(encode(picture(), "JPEG", quality=70)))
    luminance, chrominance = (list(base.quantization[i]) for i in (0, 1))
    luminance[5] += 1
    data = encode(picture(), "JPEG", qtables=[luminance, chrominance])
    assert describe(data).jpeg_quality == 70


def test_a_multi_picture_file_is_a_jpeg():
    data = encode(picture(), "MPO", save_all=True, append_images=[picture()], quality=90)
    facts = describe(data)
    assert (facts.format, facts.jpeg_quality) == ("JPEG", 90)


def test_tables_name_the_encoder_where_the_quality_does_not():
    own = describe(encode(picture(), "JPEG", quality=70))
    assert own.jpeg_tables == describe(encode(picture(8, 8), "JPEG", quality=70)).jpeg_tables
    base = Image.open(io.BytesIO(encode(picture(), "JPEG", quality=70)))
    luminance, chrominance = (list(base.quantization[i]) for i in (0, 1))
    chrominance[63] += 1
    other = describe(encode(picture(), "JPEG", qtables=[luminance, chrominance]))
    assert other.jpeg_quality == own.jpeg_quality == 70
    assert other.jpeg_tables != own.jpeg_tables
    names = {describe(encode(picture(), "JPEG", quality=q)).jpeg_tables for q in range(1, 101)}
    assert len(names) == 100
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)


@pytest.mark.parametrize(
    ("format", "keeps"),
    [
        *(("JPEG", True), ("MPO", True), ("PNG", True), ("WEBP", True), ("AVIF", True)),
        *(("GIF", False), ("BMP", False), ("PPM", False), ("JPEG2000", False)),
    ],
)
def test_exif_is_found_in_the_formats_that_keep_it(format, keeps):
    assert describe(encode(picture(), format)).has_exif is False
    if keeps:
        block = exif(1)
        block[0x010F] = "a camera"
        assert describe(encode(picture(), format, exif=block)).has_exif is True


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_exif_that_cannot_be_read_is_there_all_the_same():
    data = encode(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00*garbage and more of it")
    assert describe(data).has_exif is True


def test_exif_of_a_tiff_is_a_directory_of_its_own():
    assert describe(encode(picture(), "TIFF", exif=exif(6))).has_exif is False
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x8769] = {0x829A: 0.01}  # the exposure time
    assert describe(encode(picture(), "TIFF", tiffinfo=tags)).has_exif is True


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", [3, 6])
def test_orientation_and_the_size_as_stored(format, value):
    facts = describe(encode(picture(), format, exif=exif(value)))
    assert (facts.orientation, facts.width, facts.height) == (value, 24, 16)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_orientation_out_of_range_or_damaged_counts_as_none():
    assert describe(encode(picture(), "JPEG", exif=exif(9))).orientation == 1
    data = encode(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00*garbage and more of it")
    facts = describe(data)
    assert (facts.orientation, facts.error) == (1, None)


def test_png_is_described_without_its_pixels():
    data = encode(picture(64, 64), "PNG")
    facts = describe(data[: len(data) // 2])
    assert (facts.width, facts.error) == (64, None)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "file is empty (0 bytes)"),
        (b"<!DOCTYPE html><html>", "not an image that can be read: it starts with b'<!DOCTYPE ht'"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "format not read: EPS"),
        (encode(picture(), "JPEG")[:20], "not an image that can be read"),
        (encode(picture(), "WEBP")[:60], "damaged"),
    ],
)
def test_what_is_no_image_has_an_error_and_null_facts(data, error):
    facts = describe(data)
    assert error in facts.error
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
    assert facts.bytes == len(data)
    assert (facts.format, facts.width, facts.mode, facts.orientation) == (None,) * 4
    assert (facts.jpeg_tables, facts.has_exif) == (None, None)


def png_claiming(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + b"\0" * 8


def test_decompression_bombs_are_described():
    """What they may cost is for a corpus to say: `corpus.limits`."""
    for height in (20_000, 2**31 - 1):
        facts = describe(png_claiming(20_000, height))
        assert (facts.error, facts.width, facts.height) == (None, 20_000, height)
        assert facts.decode_bytes == height * (8 + 4 * 20_000)


def test_the_same_header_is_read_once(monkeypatch):
    seen, real = [], file_facts.opened_head
    monkeypatch.setattr(file_facts, "opened_head", lambda head: (seen.append(head), real(head))[1])
    file_facts._known.cache_clear()
    data = encode(picture(), "JPEG", quality=83)
    one, other = describe(data), describe(data + b"more")
    assert len(seen) == 1 and one[2:] == other[2:] and one.sha256 != other.sha256
    assert (one.bytes, other.bytes) == (len(data), len(data) + 4)
    assert describe(encode(picture(), "JPEG", quality=84)).jpeg_quality == 84 and len(seen) == 2
    turned = describe(encode(picture(), "JPEG", quality=83, exif=exif(6)))
    assert (turned.orientation, turned.has_exif) == (6, True) and len(seen) == 3


def test_a_long_header_is_not_kept():
    file_facts._known.cache_clear()
    block = exif(8)
    block[0x010E] = "x" * 5000
    assert describe(encode(picture(), "JPEG", exif=block)).orientation == 8
    assert file_facts._known.cache_info().currsize == 0


def test_a_header_that_ends_elsewhere_for_readers_is_read_from_the_whole_file():
    data = encode(picture(), "JPEG", quality=70)
    # for Pillow \xff\x00 is nothing, and the comment behind it hides what looks like a scan
    comment = b"\xff\xfe\x00\x0e" + bytes(8) + b"\xff\xda\x00\x02"
    odd = data[:2] + b"\xff\x00\x00\x0e" + comment + data[2:]
    facts = describe(odd)
    assert (facts.width, facts.height, facts.jpeg_quality, facts.error) == (24, 16, 70, None)
