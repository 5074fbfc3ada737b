"""What is refused before it is decoded, what it would have taken, and what passes as it did."""

import io
import subprocess
import sys
import time

import numpy as np
import PIL
import pytest
from PIL import Image

from pipeline.corpus import budget
from pipeline.corpus.file_facts import describe
from pipeline.corpus.formats.tiff import strips
from pipeline.corpus.opened import ImageError
from pipeline.corpus.upright import decode_bytes
from tests.helpers import hostile

TURNED = Image.Exif()
TURNED[0x0112] = 6
WIDE = (60, 40)

REFUSED = {
    "tall": hostile.png(1, 80_000_000, 0),
    "tall and empty": hostile.empty_png(1, 80_000_000),
    "wide and empty": hostile.empty_png(80_000_000, 1, 6, 16),
    "a lying header": hostile.empty_png(13_000, 13_000, 6, 16),
    "a huge tile": hostile.tiff(64, 64, (32_768, 32_768)),
    "a huge tile of doubles": hostile.tiff(64, 64, (16_384, 16_384), 64),
    "scans": hostile.jpeg_of_scans(3000),
}

CHILD = """
import sys
from pathlib import Path
from pipeline.corpus.upright import decode_bytes
from pipeline.corpus.opened import ImageError
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
for path in sorted(Path(sys.argv[1]).iterdir()):
    data, before = path.read_bytes(), peak()
    try:
        decode_bytes(data)
        said = "decoded"
    except ImageError as error:
        said = str(error)
    print(path.name, (peak() - before) // 1024, said, sep="|")
"""


def test_what_is_refused_takes_no_memory(tmp_path):
    for name, data in REFUSED.items():
        (tmp_path / name).write_bytes(data)
    answer = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=True
    )
    lines = [line.split("|") for line in answer.stdout.splitlines()]
    assert sorted(name for name, _, _ in lines) == sorted(REFUSED)
    for name, grown, said in lines:
        assert int(grown) < 32, (name, grown)  # MiB
        assert len(said.split()) > 4 and said != "decoded", (name, said)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tall", "1x80000000 pixels would take 1,831 MiB, over 1,536"),
        ("tall and empty", "truncated: its 69 bytes cannot hold 1x80000000 pixels"),
        ("a huge tile", "64x64 pixels would take 4,096 MiB"),
        ("scans", "3,000 scans, over 100"),
    ],
)
def test_the_reason_says_how_much_and_of_what(name, reason):
    with pytest.raises(ImageError, match=reason):
        decode_bytes(REFUSED[name])


def test_scans_are_counted_in_the_first_image_only_and_at_once():
    """Behind a photograph a telephone may put a film, whose bytes mean nothing here."""
    film = np.random.default_rng(1).integers(0, 256, 2**25, np.uint8).tobytes()
    for options in ({}, {"progressive": True}):
        data = hostile.saved("RGB", WIDE, "JPEG", **options)
        noise = b"\xff\xe5\xff\xff" + film[:65533]  # in a segment of its own, too
        assert film.count(b"\xff\xda") > budget.MAX_SCANS
        assert decode_bytes(data[:2] + noise + data[2:] + film).size == WIDE
    assert decode_bytes(hostile.jpeg_of_scans(budget.MAX_SCANS, 64)).size == (64, 64)
    started = time.monotonic()
    with pytest.raises(ImageError, match="101 scans"):
        decode_bytes(hostile.jpeg_of_scans(budget.MAX_SCANS + 1, 64))
    assert time.monotonic() - started < 1


def test_scans_of_one_component_each_are_counted_without_progression():
    data = hostile.saved("RGB", (64, 64), "JPEG")
    start = data.index(b"\xff\xda")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + data[start + 14 : -2]
    with pytest.raises(ImageError, match="300 scans"):
        decode_bytes(data[:start] + scan * 300 + data[-2:])


MODES = {
    "1": "PNG", "L": "PNG", "P": "PNG", "LA": "PNG", "RGB": "PNG", "RGBA": "PNG", "I;16": "PNG",
    "CMYK": "TIFF", "LAB": "TIFF", "YCbCr": "TIFF", "PA": "TIFF",
}  # fmt: skip


def _noise(mode):
    values = np.random.default_rng(2).integers(0, 256, (*WIDE[::-1], 4), np.uint8)
    if mode == "I;16":
        return Image.fromarray(values[..., :2].copy().view("<u2")[..., 0])
    image = Image.fromarray(values, "RGBA")
    if mode == "PA":
        image = image.convert("RGB").quantize(16).convert("PA")
    return (
        image.convert("RGB").convert(mode)
        if mode in ("P", "LAB", "YCbCr")
        else (image if mode in ("RGBA", "PA") else image.convert(mode))
    )


# before Pillow 13 a TIFF in YCbCr of its own is a failed row: "image file is truncated"
OLD = int(PIL.__version__.partition(".")[0]) < 13


def _saved(mode, **options):
    if mode == "YCbCr" and OLD:
        pytest.skip("this Pillow does not read what it writes")
    stream = io.BytesIO()
    try:
        _noise(mode).save(stream, MODES[mode], **options)
    except OSError as error:
        pytest.skip(str(error))
    return stream.getvalue()


@pytest.mark.parametrize("tile", [64, 60 * 9])
@pytest.mark.parametrize("mode", MODES)
def test_tile_by_tile_gives_the_same_bit_for_bit(mode, tile, monkeypatch):
    data = _saved(mode)
    whole = np.asarray(decode_bytes(data))
    monkeypatch.setattr(budget, "TILE", tile)
    assert np.array_equal(np.asarray(decode_bytes(data)), whole)


def test_transparent_colours_too(monkeypatch):
    stored = []
    for image, transparency in ((_noise("P"), bytes(range(0, 256, 2))), (_noise("L"), 7)):
        stream = io.BytesIO()
        image.save(stream, "PNG", transparency=transparency)
        stored.append(stream.getvalue())
    whole = [np.asarray(decode_bytes(data)) for data in stored]
    monkeypatch.setattr(budget, "TILE", 50)
    for data, pixels in zip(stored, whole, strict=True):
        assert np.array_equal(np.asarray(decode_bytes(data)), pixels)


def _peak(data):
    image = Image.open(io.BytesIO(data))
    image._size = (10_000, 10_000)  # only the header is looked at
    return budget.peak(image, image.format == "JPEG" and budget._in_scans(image, data)) / 1e8


@pytest.mark.parametrize(
    ("mode", "format", "options", "each"),
    [
        ("RGB", "PNG", {}, 4),
        ("L", "PNG", {}, 5),
        ("P", "PNG", {}, 5),
        ("I;16", "PNG", {}, 6),
        ("RGBA", "PNG", {}, 8),
        ("LA", "PNG", {}, 8),
        ("RGB", "PNG", {"exif": TURNED}, 8),
        ("RGB", "JPEG", {}, 4),
        ("RGB", "JPEG", {"progressive": True}, 10),
        ("CMYK", "JPEG", {}, 8),
        ("CMYK", "JPEG", {"progressive": True}, 12),
        ("RGB", "WEBP", {}, 16),
        ("RGB", "JPEG2000", {}, 22),
        ("F", "TIFF", {}, 8),
        ("LAB", "TIFF", {}, 8),
    ],
)
def test_bytes_for_each_pixel_at_the_worst_step(mode, format, options, each):
    data = hostile.saved(mode, (32, 32), format, **options)
    assert _peak(data) == pytest.approx(each, rel=1e-2)


@pytest.mark.parametrize(
    "data",
    [
        hostile.saved("RGB", (60, 40), "JPEG", exif=TURNED),
        hostile.png(40_000, 1, 0),
        hostile.png(1, 40_000, 6),
        hostile.gif(3000, 2000),
        hostile.saved("RGB", (60, 40), "TIFF", compression="tiff_lzw", tile=(16, 16)),
    ],
)
def test_what_is_odd_but_small_is_decoded(data):
    assert decode_bytes(data).mode == "RGB"


def test_broken_tags_of_a_tiff_are_no_reason_to_fail_otherwise():
    for width in (0, 2**31):
        data = hostile.tiff(64, 64, (width, 16))
        with pytest.raises(ImageError):
            decode_bytes(data)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_a_strip_a_row_is_read_and_one_of_a_million_refused(order, big):
    if not (big and order == ">"):  # which Pillow itself does not read
        assert decode_bytes(hostile.many_strips(300, order, big)).size == (1, 300)
    assert strips(hostile.many_strips(300, order, big)) == 300
    started = time.monotonic()
    data = hostile.many_strips(1_000_000, order, big)
    assert describe(data).error == "image is in 1,000,000 strips or tiles, over 131,072"
    assert time.monotonic() - started < 2
    for end in range(40):  # damaged, whatever follows
        assert strips(data[:end]) == 0
