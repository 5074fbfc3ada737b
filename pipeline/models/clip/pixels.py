"""The model's own image transform, cut in two: what one image needs, and what a batch can share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from pipeline.models.transfer import to_device


def whole(image: Image.Image) -> Image.Image:
    """The image itself, for models whose processors take images."""
    return image


class Pixels:
    """An open_clip transform; the numbers it gives are those of `transform` itself, bit for bit.

    Resizing and cropping go image by image, in whatever thread decodes. Scaling to [0, 1] and
    normalising are left to the batch, on the model's device: bytes travel, a quarter of the floats.
    A transform of another make (timm's, or the user's) is applied whole to each image.
    """

    def __init__(self, transform: Any):
        self._each, self._normalize = _cut(transform)

    def prepare(self, image: Image.Image) -> Any:
        """Of an RGB image: uint8 [h, w, 3], or float32 [3, h, w] from an unknown transform."""
        for step in self._each:
            image = step(image)
        return np.asarray(image)

    def batch(self, prepared: Sequence[Any], device: Any, dtype: Any) -> Any:
        """The tensor [n, 3, h, w] on `device`; copying to a GPU is not waited for."""
        import torch

        batch = to_device(prepared, device)
        if self._normalize is not None:
            # the channels stay last in memory, which convolutions like and others do not mind
            batch = batch.permute(0, 3, 1, 2).to(torch.float32)
            batch = self._normalize(batch.div_(255))
        return batch.to(dtype)


def _cut(transform: Any) -> tuple[list[Any], Any]:
    """(steps for each image, the normalising step of the batch or None)."""
    from torchvision import transforms

    steps = list(getattr(transform, "transforms", []))
    # images come as RGB; this step alone would import open_clip wherever the steps are sent
    steps = [step for step in steps if getattr(step, "__name__", "") != "_convert_to_rgb"]
    names = [type(step).__name__ for step in steps[-2:]]
    if names not in (["MaybeToTensor", "Normalize"], ["ToTensor", "Normalize"]):
        return [transform], None
    last = steps[-1]
    return steps[:-2], transforms.Normalize(last.mean, last.std, inplace=True)
