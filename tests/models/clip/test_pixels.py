import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from pipeline.corpus.file_facts import ImageError
from pipeline.models.clip.pixels import MAX_ASPECT, Pixels

CPU = torch.device("cpu")


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
