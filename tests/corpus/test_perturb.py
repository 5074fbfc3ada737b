"""What variants do to the pixels of known images."""

import io
from math import exp

import numpy as np
import pytest
from PIL import Image

from pipeline.corpus import budget
from pipeline.corpus import perturb as room
from pipeline.corpus.file_facts import describe
from pipeline.corpus.opened import ImageError
from pipeline.corpus.perturb import perturb

ID = "0123456789abcdef" * 2


def pixels(image, variant, content_id=ID):
    return np.asarray(perturb(image, variant, content_id)[0])


def ramp(width=40, height=20):
    """Red grows to the right, green downwards, blue is 100."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.uint8(np.stack([x * 6, y * 12, np.full_like(x, 100)], 2)))


def grey(value=128, size=(64, 64)):
    return Image.new("RGB", size, (value,) * 3)


def test_clean_is_the_image_itself():
    image = ramp()
    made, data = perturb(image, "clean", ID)
    assert made is image and data is None


def test_jpeg_is_what_pillow_writes_and_reads_at_that_quality():
    stream = io.BytesIO()
    ramp().save(stream, "JPEG", quality=50)
    made, data = perturb(ramp(), "jpeg_50", ID)
    assert data == stream.getvalue()
    assert np.array_equal(made, Image.open(stream))
    facts = describe(data)
    assert (facts.format, facts.jpeg_quality) == ("JPEG", 50)


def test_blur_spreads_a_point_as_a_gaussian_of_that_sigma():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = (255, 0, 255)
    made = pixels(Image.fromarray(point), "blur_2")
    weights = np.array([exp(-(d**2) / 8) for d in range(-8, 9)])
    weights /= weights.sum()
    expected = np.rint(255 * np.outer(weights, weights))
    assert np.array_equal(made[12:29, 12:29, 0], expected)
    assert np.array_equal(made[..., 0], made[..., 2]) and not made[..., 1].any()


def test_blur_leaves_a_plain_image_as_it_is_up_to_its_edges():
    assert (pixels(grey(77), "blur_3") == 77).all()


@pytest.mark.parametrize("variance", [0.001, 0.005, 0.01])
def test_noise_has_that_variance_in_the_unit_range(variance):
    drawn = pixels(grey(size=(200, 200)), f"noise_{variance}") / 255 - 128 / 255
    # rounding to steps of 1/255 adds a twelfth of a step's square
    assert drawn.var() == pytest.approx(variance + (1 / 255) ** 2 / 12, rel=0.02)
    assert abs(drawn.mean()) < 0.001
    channels = drawn.reshape(-1, 3).T
    assert np.abs(np.corrcoef(channels) - np.eye(3)).max() < 0.03


def test_noise_is_the_images_own_and_the_same_each_time_and_at_each_strength():
    one = pixels(grey(), "noise_0.001")
    assert np.array_equal(one, pixels(grey(), "noise_0.001"))
    assert not np.array_equal(one, pixels(grey(), "noise_0.001", "f" * 32))
    four = pixels(grey(), "noise_0.004").astype(float) - 128
    assert np.abs(four - 2 * (one.astype(float) - 128)).max() <= 1.5


def test_noise_of_a_chain_is_drawn_anew_in_each_step():
    twice = pixels(grey(size=(200, 200)), "noise_0.001+noise_0.001") / 255
    assert twice.var() == pytest.approx(0.002, rel=0.03)  # one draw added to itself: 0.004


def test_noise_stays_within_the_range():
    assert pixels(grey(255), "noise_0.01").max() == 255
    assert pixels(grey(0), "noise_0.01").min() == 0


def test_resize_keeps_the_shape_and_the_new_size():
    made, data = perturb(ramp(), "resize_0.5", ID)
    assert made.size == (20, 10) and data is None
    assert np.array_equal(made, ramp().resize((20, 10), Image.Resampling.BICUBIC))
    assert perturb(ramp(), "resize_2", ID)[0].size == (80, 40)
    assert perturb(grey(size=(3, 1)), "resize_0.1", ID)[0].size == (1, 1)


def test_an_image_that_would_become_too_large_is_an_error(monkeypatch):
    monkeypatch.setattr(room, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="80x40 is over 1,000 pixels"):
        perturb(ramp(), "resize_2", ID)


def test_crop_takes_the_centre():
    assert np.array_equal(pixels(ramp(), "crop_0.5"), np.asarray(ramp())[5:15, 10:30])


def test_square_makes_every_image_of_one_size_from_its_centre():
    assert perturb(ramp(), "square_10", ID)[0].size == (10, 10)
    assert np.array_equal(pixels(ramp(), "square_20"), np.asarray(ramp())[:, 10:30])
    assert perturb(ramp(20, 40), "square_64", ID)[0].size == (64, 64)


def test_a_chain_goes_from_left_to_right():
    half = perturb(ramp(), "resize_0.5", ID)[0]
    made, data = perturb(ramp(), "resize_0.5+jpeg_75", ID)
    assert (np.asarray(made) == pixels(half, "jpeg_75")).all()
    assert data == perturb(half, "jpeg_75", ID)[1]
    other, none = perturb(ramp(), "jpeg_75+resize_0.5", ID)
    assert none is None and not np.array_equal(made, other)


@pytest.mark.parametrize("tile", [7, 40, 95, 333])
@pytest.mark.parametrize("variant", ["blur_1", "blur_3", "noise_0.01", "blur_2+noise_0.001"])
@pytest.mark.parametrize("size", [(40, 20), (5, 90), (90, 1)])
def test_tile_by_tile_gives_the_same_bit_for_bit(variant, tile, size, monkeypatch):
    rng = np.random.default_rng(6)
    image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8))
    whole = pixels(image, variant)
    monkeypatch.setattr(budget, "TILE", tile)
    assert np.array_equal(pixels(image, variant), whole)
