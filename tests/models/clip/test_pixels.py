import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from pipeline.models.clip.pixels import Pixels

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
