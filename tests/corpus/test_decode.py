import hashlib
import io
import struct
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFile

from pipeline.corpus import decode as module
from pipeline.corpus import upright
from pipeline.corpus.decode import decode, sharing
from pipeline.corpus.file_facts import describe
from pipeline.corpus.opened import ImageError
from pipeline.corpus.perturb import perturb
from pipeline.corpus.upright import decode_bytes
from tests.helpers.images import images_table


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(width=32, height=32) -> Image.Image:
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def table_of(*paths, errors=None):
    facts = [describe(path.read_bytes()) for path in paths]
    return images_table(
        {
            "image_id": [fact.sha256[:32] for fact in facts],
            "variant": ["clean"] * len(paths),
            "uri": [str(path) for path in paths],
            "width": [fact.width for fact in facts],
            "height": [fact.height for fact in facts],
            "sha256": [fact.sha256 for fact in facts],
            "error": errors or [None] * len(paths),
        },
    )


def write_many(folder, count: int) -> list:
    paths = [folder / f"{index:03}.png" for index in range(count)]
    for index, path in enumerate(paths):
        Image.new("RGB", (4, 4), (index, 0, 0)).save(path)
    return paths


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def pixel(data: bytes, at=(0, 0)) -> tuple[int, int, int]:
    image = decode_bytes(data)
    assert image.mode == "RGB"
    return image.getpixel(at)


# one image


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(format, orientation):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :16] = 255  # one corner, so that all eight differ
    block = Image.Exif()
    block[0x0112] = orientation
    stored = encode(Image.fromarray(pixels), format, exif=block)
    upright = np.asarray(decode_bytes(stored))[:, :, 0]
    bright = pixels[:, :, 0]
    expected = {
        1: bright,
        2: bright[:, ::-1],
        3: bright[::-1, ::-1],
        4: bright[::-1],
        5: bright.T,
        6: bright[::-1].T,
        7: bright[::-1, ::-1].T,
        8: bright[:, ::-1].T,
    }[orientation]
    assert upright.shape == expected.shape
    assert np.abs(upright.astype(int) - expected).max() < 16


def test_transparency_is_laid_over_white():
    assert pixel(encode(Image.new("RGBA", (2, 2), (200, 0, 0, 0)), "PNG")) == (255, 255, 255)
    assert pixel(encode(Image.new("RGBA", (2, 2), (200, 0, 0, 255)), "PNG")) == (200, 0, 0)
    half = pixel(encode(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "PNG"))
    assert half == (127, 127, 127)
    assert pixel(encode(Image.new("LA", (2, 2), (10, 0)), "PNG")) == (255, 255, 255)
    assert pixel(encode(Image.new("RGB", (2, 2), (1, 2, 3)), "PNG", transparency=(1, 2, 3))) == (
        (255,) * 3
    )


def test_palettes():
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 30, 20, 10])
    image.putpixel((1, 0), 1)
    assert pixel(encode(image, "PNG"), (1, 0)) == (30, 20, 10)
    seen_through = encode(image, "PNG", transparency=0)
    assert pixel(seen_through, (0, 0)) == (255, 255, 255)
    assert pixel(seen_through, (1, 0)) == (30, 20, 10)


def test_grey_modes():
    assert pixel(encode(Image.new("L", (2, 2), 77), "PNG")) == (77, 77, 77)
    assert pixel(encode(Image.new("1", (2, 2), 1), "PNG")) == (255, 255, 255)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(format):
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    data = encode(Image.fromarray(values), format)
    assert describe(data).mode == "I;16"
    assert [pixel(data, (x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


def test_16_bit_pgm():
    data = b"P5\n2 1\n65535\n" + struct.pack(">HH", 65535, 25700)
    assert [pixel(data, (x, 0)) for x in range(2)] == [(255,) * 3, (100,) * 3]


def test_greys_without_an_agreed_range_are_errors():
    for mode in ("I", "F"):
        with pytest.raises(ImageError, match=f"mode {mode} have no agreed range"):
            decode_bytes(encode(Image.new(mode, (2, 2), 5), "TIFF"))


def test_cmyk():
    assert pixel(encode(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")) == (255, 255, 255)
    red = pixel(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert red[0] > 245
    assert max(red[1:]) < 10


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert pixel(data) == (255, 0, 0)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_truncated_files_are_errors_whatever_another_library_set(format, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encode(noise(), format)
    (tmp_path / "a.img").write_bytes(data[: len(data) * 3 // 4])
    ((_, image, error),) = decode(table_of(tmp_path / "a.img"))
    assert image is None
    assert error.startswith("image file is truncated")


def test_damaged_pixels_are_errors():
    data = bytearray(encode(noise(), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="broken"):
        decode_bytes(bytes(data))


# a table


def test_rows_come_in_order_and_each_is_its_own_image(tmp_path):
    paths = write_many(tmp_path, 41)
    for threads in (1, 3):
        rows = list(decode(table_of(*paths), threads))
        assert [row for row, _, _ in rows] == list(range(41))
        assert [image.getpixel((0, 0))[0] for _, image, _ in rows] == list(range(41))
        assert {error for _, _, error in rows} == {None}


def test_the_extension_does_not_matter(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode(noise(), "PNG"))
    ((_, image, error),) = decode(table_of(tmp_path / "a.jpg"))
    assert error is None
    assert np.array_equal(np.asarray(image), np.asarray(noise()))


def test_failures_stay_in_their_rows(tmp_path, monkeypatch):
    paths = write_many(tmp_path, 7)
    paths[1].write_bytes(b"")
    paths[2].write_bytes(b"not an image at all")
    table = table_of(*paths, errors=["failed before"] + [None] * 6)
    paths[3].unlink()
    Image.new("RGB", (4, 4), "white").save(paths[4])
    real = upright.read_bytes

    def read_bytes(uri):
        if uri == str(paths[5]):
            raise PermissionError(13, "Permission denied", uri)
        return real(uri)

    monkeypatch.setattr(upright, "read_bytes", read_bytes)
    rows = list(decode(table))
    assert [image is None for _, image, _ in rows] == [True] * 6 + [False]
    errors = [error for _, _, error in rows]
    assert errors[0] == "failed before"
    assert errors[1] == "file is empty (0 bytes)"
    assert errors[2].startswith("not an image")
    assert errors[3] == f"transient: file cannot be read: No such file or directory: '{paths[3]}'"
    assert errors[4] == "transient: file has changed since it was listed (its SHA-256 differs)"
    assert errors[5] == f"transient: file cannot be read: Permission denied: '{paths[5]}'"
    assert errors[6] is None


def test_an_empty_table_decodes_to_nothing():
    assert list(decode(table_of())) == []


def test_threads_must_be_positive():
    with pytest.raises(ValueError, match="at least one thread"):
        decode(table_of(), 0)


def test_no_thread_is_left_after_the_end_or_an_early_stop(tmp_path):
    table = table_of(*write_many(tmp_path, 40))
    list(decode(table, 3))
    assert decoding_threads() == []
    stopped = decode(table, 3)
    next(stopped)
    assert decoding_threads()
    stopped.close()
    assert decoding_threads() == []
    with pytest.raises(KeyboardInterrupt):
        for _ in decode(table, 2):
            raise KeyboardInterrupt
    deadline = time.monotonic() + 5
    while decoding_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert decoding_threads() == []


def counting_reads(monkeypatch) -> list[str]:
    reads: list[str] = []
    real = upright.read_bytes
    monkeypatch.setattr(upright, "read_bytes", lambda uri: reads.append(uri) or real(uri))
    return reads


def test_reading_ahead_is_bounded(tmp_path, monkeypatch):
    reads = counting_reads(monkeypatch)
    rows = decode(table_of(*write_many(tmp_path, 100)), 2)
    next(rows)
    time.sleep(0.1)
    assert 0 < len(reads) <= 2 * 2 * 8
    assert len(list(rows)) == 99
    assert len(reads) == 100


def test_large_images_wait_by_their_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_GROUP_PIXELS", 16)
    monkeypatch.setattr(module, "PIXELS_AHEAD", 40)  # two of 16 pixels
    reads = counting_reads(monkeypatch)
    rows = decode(table_of(*write_many(tmp_path, 9)), 4)
    next(rows)
    time.sleep(0.1)
    assert len(reads) == 2
    assert len(list(rows)) == 8


def test_an_image_over_the_limit_still_passes_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIXELS_AHEAD", 10)
    rows = list(decode(table_of(*write_many(tmp_path, 5)), 2))
    assert [error for _, _, error in rows] == [None] * 5


def test_the_digest_checked_is_that_of_the_whole_content(tmp_path):
    (path,) = write_many(tmp_path, 1)
    table = table_of(path)
    assert table["sha256"][0].as_py() == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes() + b"\0")
    ((_, image, error),) = decode(table)
    assert image is None
    assert "has changed" in error


def test_what_prepare_gives_is_yielded_in_row_order_from_the_decoding_threads(tmp_path):
    table = table_of(*(paths := write_many(tmp_path, 21)))
    paths[-1].unlink()
    seen = set()

    def prepare(image, row):
        seen.add(threading.current_thread().name)
        return row, image.size

    rows = list(decode(table, 3, prepare, range(21)))
    assert [row for row, _, _ in rows] == list(range(21))
    assert [value[0] for _, value, _ in rows[:-1]] == list(range(20))
    assert rows[-1][1] is None
    assert "cannot be read" in rows[-1][2]
    assert all(name.startswith("decode") for name in seen)


def test_within_sharing_no_file_is_read_twice(tmp_path, monkeypatch):
    reads = []
    real = upright.read_bytes
    monkeypatch.setattr(upright, "read_bytes", lambda uri: reads.append(uri) or real(uri))
    table = table_of(*(paths := write_many(tmp_path, 6)))
    paths[-1].unlink()
    with sharing():
        first = [image.tobytes() for _, image, _ in decode(table) if image]
        assert [image.tobytes() for _, image, _ in decode(table, 2) if image] == first
        assert len(reads) == 5 + 2  # what failed is tried again
    list(decode(table))
    assert len(reads) == 7 + 6


def test_what_is_shared_is_dropped_at_the_end_also_after_an_error(tmp_path):
    table = table_of(*write_many(tmp_path, 2))
    with pytest.raises(TypeError), sharing():
        list(decode(table, 1, lambda: None))
    assert module._kept.get() is None


def test_a_single_thread_reads_ahead_and_leaves_the_decoding_to_the_caller(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for number, path in enumerate(paths):
        noise(16 + number).save(path)
    reading, whole = [], module.content

    def read(row):
        reading.append(threading.current_thread())
        return whole(row)

    monkeypatch.setattr(module, "content", read)
    preparing = []
    rows = decode(table_of(*paths), 1, lambda image: preparing.append(threading.current_thread()))
    assert [row for row, _, error in rows if error is None] == list(range(20))
    assert set(preparing) == {threading.current_thread()}
    assert len(reading) == 20 and threading.current_thread() not in reading


@pytest.mark.parametrize(("given", "threads"), [("1", 1), ("3", 3), ("64", 16), ("0", 1)])
def test_without_a_number_the_share_of_the_cores_decodes(monkeypatch, given, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert module._share_of_cores() == threads


# variants


def in_variant(table, *names):
    """The rows of an images table in each of these variants."""
    copies = [table.set_column(1, "variant", pa.array([name] * len(table))) for name in names]
    return pa.concat_tables(copies)


def decoded(table, **options):
    return [np.asarray(image) for _, image, _ in decode(table, **options)]


def photo(path, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((80, 48)).save(path)
    return path


def test_a_row_gives_its_variant_seeded_by_the_content(tmp_path):
    one, copy = photo(tmp_path / "one.png"), tmp_path / "copy.png"
    copy.write_bytes(one.read_bytes())
    other = photo(tmp_path / "other.png", 1)
    table = table_of(one, copy, other)
    clean, noisy = decoded(table), decoded(in_variant(table, "noise_0.01"))
    assert np.array_equal(noisy[0], noisy[1]) and not np.array_equal(noisy[0], clean[0])
    assert not np.array_equal(
        noisy[0].astype(int) - clean[0].astype(int), noisy[2].astype(int) - clean[2].astype(int)
    )
    expected, _ = perturb(Image.open(one), "noise_0.01", table["sha256"][0].as_py()[:32])
    assert np.array_equal(noisy[0], expected)


def test_variants_are_of_the_upright_image(tmp_path):
    block = Image.Exif()
    block[0x0112] = 6
    photo(tmp_path / "plain.png")
    Image.open(tmp_path / "plain.png").save(tmp_path / "turned.png", exif=block)
    (half,) = decoded(in_variant(table_of(tmp_path / "turned.png"), "crop_0.5"))
    upright = decode_bytes((tmp_path / "turned.png").read_bytes())
    assert upright.size == (48, 80)
    assert np.array_equal(half, np.asarray(upright)[20:60, 12:36])


@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_pixels_in_any_part_order_and_number_of_threads(tmp_path, threads):
    paths = [photo(tmp_path / f"{number}.png", number) for number in range(6)]
    names = ("noise_0.01", "blur_1", "jpeg_50", "resize_0.5+noise_0.01")
    table = in_variant(table_of(*paths), *names)
    together = decoded(table, threads=threads)
    for row in range(len(table)):
        assert np.array_equal(together[row], decoded(table.slice(row, 1), threads=1)[0])
    backwards = table.take(pa.array(range(len(table) - 1, -1, -1)))
    for one, two in zip(together, reversed(decoded(backwards)), strict=True):
        assert np.array_equal(one, two)


def test_shared_pixels_are_those_of_the_variant(tmp_path, monkeypatch):
    table = in_variant(table_of(photo(tmp_path / "a.png")), "clean", "noise_0.01", "blur_2")
    alone = decoded(table)
    calls = []
    monkeypatch.setattr(
        upright, "decode_bytes", lambda data, limits: calls.append(1) or decode_bytes(data)
    )
    with sharing():
        for _ in range(2):
            for one, two in zip(decoded(table, threads=1), alone, strict=True):
                assert np.array_equal(one, two)
    assert len(calls) == 3


def test_a_variant_of_what_cannot_be_decoded_has_the_error(tmp_path):
    path = photo(tmp_path / "a.png")
    table = in_variant(table_of(path), "jpeg_50")
    path.write_bytes(path.read_bytes()[:-40])
    ((row, image, error),) = decode(table)
    assert (row, image) == (0, None) and "has changed since it was listed" in error
