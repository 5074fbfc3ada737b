"""What a corpus takes: formats by name, and the cost of one image; files of other formats."""

import io
from itertools import count

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from PIL import Image

from pipeline.corpus import limits as room
from pipeline.corpus import opened
from pipeline.corpus.file_facts import describe
from pipeline.corpus.formats.known import FORMATS
from pipeline.corpus.limits import Limits, check_formats, of_table, refusal, with_limits
from pipeline.corpus.opened import ImageError
from pipeline.corpus.upright import decode_bytes
from tests.helpers import hostile


def test_formats_are_named_as_people_name_them():
    assert check_formats(("default", "tga")) == (*FORMATS, "TGA")
    assert check_formats(("jpg", "JPEG", "tif", "jpeg 2000")) == ("JPEG", "TIFF", "JPEG2000")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("EPS",), "there is no format 'EPS' that is read"),
        (("default", "TGAA"), "did you mean 'TGA'"),
        ((), r"at least one format, such as \[default, TGA\]"),
    ],
)
def test_other_formats_are_errors(given, said):
    with pytest.raises(ValueError, match=said):
        check_formats(given)


def test_a_format_whose_package_is_not_there_names_it(monkeypatch):
    monkeypatch.setattr(room, "has_plugin", lambda format: False)
    with pytest.raises(ValueError, match=r"HEIF needs a package: pip install 'item-pipeline\[heif"):
        check_formats(("default", "HEIC"))


def test_what_costs_too_much_says_by_which_limit():
    few = Limits(megapixels=0.01, bytes=20_000)
    assert few.excess(100, 100, 20_000) is None
    assert few.excess(101, 100, 1) == (
        "image is too large: 101x100 is over 0.01 megapixels (corpus.limits.megapixels)"
    )
    assert Limits(bytes="1 MiB").excess(10, 20, 2**20 + 2**19) == (
        "image is too large: decoding 10x20 pixels would take 2 MiB, over 1 (corpus.limits.bytes)"
    )


def test_a_refusal_is_by_the_format_first_and_of_what_has_facts_only():
    few = Limits(megapixels=1)
    assert refusal("PNG", 10, 10, 1, FORMATS, few) is None
    assert refusal("TGA", 9999, 9999, 1, FORMATS, few) == (
        "refused: format not read: TGA (to read it: corpus.formats)"
    )
    assert refusal("PNG", 1001, 1000, 1, FORMATS, few).startswith("refused: image is too large")
    assert refusal(None, None, None, None, FORMATS, few) is None


def test_limits_go_where_rows_go(tmp_path):
    few = Limits(seconds=2, megapixels=3, bytes=4)
    table = with_limits(pa.table({"image_id": ["a", "b"]}), few)
    some = table.filter(pa.array([False, True])).append_column("n", pa.array([1]))
    feather.write_feather(some, str(tmp_path / "images"))
    assert of_table(feather.read_table(tmp_path / "images")) == few
    assert of_table(pa.table({"image_id": []})) == Limits()


def test_what_takes_too_long_is_stopped_between_two_pieces(monkeypatch):
    data = hostile.jpeg_of_scans(20, 256)
    assert decode_bytes(data).size == (256, 256)
    clock = count()  # a second for each look
    monkeypatch.setattr(opened, "monotonic", lambda: 1e9 + next(clock))
    with pytest.raises(ImageError, match=r"took longer than corpus\.limits\.seconds"):
        decode_bytes(data)


PIXELS = np.random.default_rng(4).integers(0, 256, (32, 48, 3), np.uint8)
OTHERS = ("TGA", "DDS", "ICO", "PCX", "SGI", "QOI", "IM", "XBM", "MSP")


def saved(format):
    image = Image.fromarray(PIXELS)
    image = image.convert("1") if format in ("XBM", "MSP") else image
    stream = io.BytesIO()
    image.save(stream, format, **({"sizes": [image.size]} if format == "ICO" else {}))
    return stream.getvalue(), image.convert("RGB")


@pytest.mark.parametrize("format", OTHERS)
def test_other_formats_are_described_and_decoded(format):
    data, image = saved(format)
    facts = describe(data)
    assert (facts.error, facts.format, facts.width, facts.height) == (None, format, 48, 32)
    assert facts.decode_bytes >= 3 * 48 * 32
    assert np.array_equal(np.asarray(decode_bytes(data)), np.asarray(image))


@pytest.mark.parametrize(("format", "module"), [("HEIF", "pillow_heif"), ("JXL", "pillow_jxl")])
def test_formats_of_further_packages(format, module, monkeypatch):
    pytest.importorskip(module)
    opened._register(format)
    stream = io.BytesIO()
    smooth = Image.linear_gradient("L").resize((60, 40)).convert("RGB")
    smooth.save(stream, format, quality=95)
    data = stream.getvalue()
    facts = describe(data)
    assert (facts.error, facts.format, facts.width, facts.height) == (None, format, 60, 40)
    assert np.abs(np.asarray(decode_bytes(data), int) - np.asarray(smooth, int)).max() < 16
    with pytest.raises(ImageError, match="megapixels"):
        decode_bytes(data, Limits(megapixels=0.001))
    with pytest.raises(ImageError):
        decode_bytes(data[: len(data) // 2])


def test_without_its_package_a_file_says_how_it_would_be_read(monkeypatch):
    monkeypatch.setattr(opened, "has_plugin", lambda format: False)
    said = describe(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic").error
    assert said == "format not read: HEIF (pip install 'item-pipeline[heif]')"
