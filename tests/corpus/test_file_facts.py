import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.corpus import file_facts as module
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
    assert facts.jpeg_quality is None
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
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image that can be read"),
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


def png_claiming(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + b"\0" * 8


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs_are_errors():
    side = int(module.MAX_PIXELS**0.5)
    assert describe(png_claiming(side, side)).error is None
    for height in (side * 2, 2**31 - 1):
        facts = describe(png_claiming(side, height))
        assert facts.error.startswith("image is too large: ")
        assert facts.width is None


def test_the_limit_is_ours_even_where_pillow_has_none(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert "178,956,970 pixels" in describe(png_claiming(20_000, 20_000)).error
