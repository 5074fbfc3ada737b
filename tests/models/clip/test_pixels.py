import pickle

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from pipeline.corpus.opened import ImageError
from pipeline.models.clip.pixels import MAX_ASPECT, Pixels, fitted

CPU = torch.device("cpu")
RED, BLUE, MEAN = (255, 0, 0), (0, 0, 255), (51, 102, 153)
SIXTEEN = {"size": (16, 16), "mean": (0.2, 0.4, 0.6), "std": (0.5, 0.5, 0.5), "fill_color": 0}


def _pictures():
    rng = np.random.default_rng(0)
    for width, height in [(64, 64), (200, 100), (31, 47), (224, 224), (5, 300)]:
        yield Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [32, (48, 32)])
def test_the_numbers_are_those_of_the_transform_bit_for_bit(mode, size):
    transform = open_clip.image_transform(size, is_train=False, resize_mode=mode)
    pixels = Pixels(transform)
    prepared = [pixels.prepare(picture) for picture in _pictures()]
    assert all(one.dtype == np.uint8 for one in prepared)
    batch = pixels.batch(prepared, CPU, torch.float32)
    assert torch.equal(batch, torch.stack([transform(picture) for picture in _pictures()]))


def test_a_transform_of_another_make_is_applied_whole():
    def transform(image):
        return torch.tensor(np.asarray(image.resize((4, 4)))).permute(2, 0, 1) * 2.0

    pixels = Pixels(transform)
    batch = pixels.batch([pixels.prepare(picture) for picture in _pictures()], CPU, torch.bfloat16)
    assert batch.dtype == torch.bfloat16
    expected = torch.stack([transform(picture) for picture in _pictures()]).bfloat16()
    assert torch.equal(batch, expected)


@pytest.mark.parametrize("size", [32, (48, 32)])
@pytest.mark.parametrize("shape", [(1, 400_000), (400_000, 1), (3, 100_001)])
def test_a_ribbon_is_cut_before_it_is_resized(size, shape):
    """Whole, the first would be 32 x 12,800,000 pixels: 1.6 GB."""
    pixels = Pixels(open_clip.image_transform(size, is_train=False))
    picture = Image.new("RGB", shape, (9, 8, 7))
    x, y = (side // 2 for side in shape)
    picture.paste((200, 100, 50), (max(0, x - 3), max(0, y - 3), x + 3, y + 3))
    made = pixels.prepare(picture)
    assert made.shape == (*((size, size) if isinstance(size, int) else size), 3)
    assert made.max() > 150


@pytest.mark.parametrize("shape", [(2, 200), (200, 2), (2, 201), (3, 2000), (2000, 4)])
@pytest.mark.parametrize("size", [32, (48, 32)])
def test_what_is_cut_gives_what_the_whole_would(shape, size):
    rng = np.random.default_rng(4)
    low = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    picture = low.resize(shape, Image.Resampling.BICUBIC)
    transform = open_clip.image_transform(size, is_train=False)
    pixels = Pixels(transform)
    made = pixels.batch([pixels.prepare(picture)], CPU, torch.float32)
    within = 0 if max(shape) <= MAX_ASPECT * min(shape) else 0.15  # of about 4, from -2 to 2
    assert (made - transform(picture)).abs().max() <= within


def test_what_crops_nothing_refuses_a_ribbon():
    for transform in (
        open_clip.image_transform(224, is_train=False, resize_mode="longest"),
        lambda image: torch.zeros(3, 4, 4),
    ):
        pixels = Pixels(transform)
        pixels.prepare(Image.new("RGB", (200, 2)))
        with pytest.raises(ImageError, match="60000x1, and this model takes none that is over 100"):
            pixels.prepare(Image.new("RGB", (60_000, 1)))
    small = Pixels(open_clip.image_transform(32, is_train=False, resize_mode="longest"))
    with pytest.raises(ImageError, match="takes no image of 200x2"):
        small.prepare(Image.new("RGB", (200, 2)))
    squashed = Pixels(open_clip.image_transform(32, is_train=False, resize_mode="squash"))
    assert squashed.prepare(Image.new("RGB", (60_000, 1))).shape == (32, 32, 3)


def _halves(width, height):
    """Red, and blue in the second half along the longer side."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height) if width > height else (0, height // 2))
    return picture


def _turned(pixels, turns, mirrored):
    pixels = np.rot90(pixels, turns)
    return pixels[:, ::-1] if mirrored else pixels


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_what_each_fit_leaves_of_four_to_one(turns, mirrored):
    """64 x 16 pixels, red and blue, for a model of 16 x 16; and 16 x 4 of them, to be padded."""

    def made(fit, picture):
        some = Image.fromarray(np.ascontiguousarray(_turned(np.asarray(picture), turns, mirrored)))
        out = fitted(SIXTEEN, fit).prepare(some)
        assert out.shape == (16, 16, 3) and out.dtype == np.uint8
        undone = out[:, ::-1] if mirrored else out
        return np.rot90(undone, -turns)

    # columns 24 to 39 as they are: a quarter of the area, half of it red
    cut = made("crop", _halves(64, 16))
    assert (cut[:, :8] == RED).all() and (cut[:, 8:] == BLUE).all()

    # four columns become one; bicubic reaches eight of them, two of the new ones, to both sides
    squashed = made("squash", _halves(64, 16))
    assert (squashed[:, :6] == RED).all() and (squashed[:, 10:] == BLUE).all()
    assert (squashed == squashed[:1]).all()
    assert (squashed[0, :8, 0] > 127).all() and (squashed[0, 8:, 0] < 128).all()

    # twelve rows are free: six above, six below
    padded = made("pad", _halves(16, 4))
    assert (padded[:6] == MEAN).all() and (padded[10:] == MEAN).all()
    assert (padded[6:10, :8] == RED).all() and (padded[6:10, 8:] == BLUE).all()


def test_ends_that_a_crop_never_sees():
    """Red quarters at both ends of a blue region: all of the crop is blue."""
    picture = Image.new("RGB", (64, 16), BLUE)
    for end in (0, 48):
        picture.paste(RED, (end, 0, end + 16, 16))
    means = {
        fit: fitted(SIXTEEN, fit).prepare(picture).reshape(-1, 3).mean(0)
        for fit in ("crop", "squash", "pad")
    }
    np.testing.assert_allclose(means["crop"], BLUE)
    np.testing.assert_allclose(means["squash"], [127.5, 0, 127.5], atol=1)
    quarter = [0.25 * 127.5 + 0.75 * 51, 0.75 * 102, 0.25 * 127.5 + 0.75 * 153]
    np.testing.assert_allclose(means["pad"], quarter, atol=1)


@pytest.mark.parametrize("size", [32, (48, 32), (32, 32)])
@pytest.mark.parametrize(
    ("fit", "mode"), [("crop", "shortest"), ("squash", "squash"), ("pad", "longest")]
)
def test_a_fit_that_is_the_models_own_changes_nothing(size, fit, mode):
    settings = {
        "size": size,
        "mean": (0.1, 0.5, 0.9),
        "std": (0.2, 0.3, 0.4),
        "interpolation": "bilinear",
        "resize_mode": mode,
        "fill_color": 9,
    }
    names = {"image_size": size, **{k: v for k, v in settings.items() if k != "size"}}
    transform = open_clip.image_transform(is_train=False, **names)
    own, other = Pixels(transform), fitted(settings, fit)
    for picture in _pictures():
        np.testing.assert_array_equal(own.prepare(picture), other.prepare(picture))
    both = [made.batch([made.prepare(one) for one in _pictures()], CPU, torch.float32)
            for made in (own, other)]  # fmt: skip
    assert torch.equal(*both)


def test_a_ribbon_under_each_fit():
    """400,000 pixels long: what crops sees the middle, what squashes all, what pads refuses."""
    picture = Image.new("RGB", (400_000, 1), BLUE)
    picture.paste(RED, (0, 0, 200_000, 1))
    squashed = fitted(SIXTEEN, "squash").prepare(picture)
    assert (squashed[:, :6] == RED).all() and (squashed[:, 10:] == BLUE).all()
    cut = fitted(SIXTEEN, "crop").prepare(picture)
    assert cut.shape == (16, 16, 3) and cut[0, 0, 0] > 240 and cut[0, -1, 2] > 240
    with pytest.raises(ImageError, match="too narrow: 400000x1"):
        fitted(SIXTEEN, "pad").prepare(picture)


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_what_prepares_travels_to_the_processes_that_decode(fit):
    prepare = fitted(SIXTEEN, fit).prepare
    sent = pickle.dumps(prepare)
    other = pickle.loads(sent)
    for picture in list(_pictures())[:4]:
        np.testing.assert_array_equal(other(picture), prepare(picture))
    # which costs each of them 3 seconds and 80 MiB: only where the steps are open_clip's own
    assert (b"open_clip" in sent) == (fit == "pad")
