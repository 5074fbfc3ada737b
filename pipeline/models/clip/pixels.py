"""The model's own image transform, cut in two: what one image needs, and what a batch can share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from PIL import Image

from pipeline.corpus.opened import ImageError
from pipeline.errors import worded
from pipeline.models.transfer import to_device

# Beyond this many times as long as wide (or as wide as long) an image is no picture any more: what
# gives its shorter side a length would make gigabytes of the longer one.
MAX_ASPECT = 100

# How a picture that is not of the model's shape comes to it: its shortest side is resized and the
# middle cut out; both sides are resized; or its longest one, and the rest is filled up.
Fit = Literal["crop", "squash", "pad"]
_RESIZE_MODES = {"crop": "shortest", "squash": "squash", "pad": "longest"}  # open_clip's words


def whole(image: Image.Image) -> Image.Image:
    """The image itself, for models whose processors take images; ImageError beyond MAX_ASPECT."""
    short, long = sorted(image.size)
    if long > MAX_ASPECT * short:
        raise ImageError(
            f"image is too narrow: {image.width}x{image.height}, and this model takes none that is "
            f"over {MAX_ASPECT} times as long as wide"
        )
    return image


def middle(image: Image.Image) -> Image.Image:
    """The image itself; beyond MAX_ASPECT the middle of it, MAX_ASPECT times as long as wide."""
    most = MAX_ASPECT * min(image.size)
    if max(image.size) <= most:
        return image
    width, height = (min(side, most) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


class Pixels:
    """An open_clip transform; the numbers it gives are those of `transform` itself, bit for bit.

    Resizing and cropping go image by image, in whatever thread decodes. Scaling to [0, 1] and
    normalising are left to the batch, on the model's device: bytes travel, a quarter of the floats.
    A transform of another make (timm's, or the user's) is applied whole to each image.

    Beyond MAX_ASPECT what a centre crop would leave is cut out before resizing; where nothing is
    known to be cropped, `prepare` raises ImageError.
    """

    def __init__(self, transform: Any):
        self._each, self._normalize = _cut(transform)
        self._bound = _bound(self._each)

    def prepare(self, image: Image.Image) -> Any:
        """Of an RGB image: uint8 [h, w, 3], or float32 [3, h, w] from an unknown transform."""
        made: Any = self._bound(image)
        try:
            for step in self._each:
                made = step(made)
        except ValueError as error:  # of a side that would have no pixel left, for one
            size = f"{image.width}x{image.height}"
            raise ImageError(
                f"this model's transform takes no image of {size} pixels: {worded(error)}"
            ) from error
        return np.asarray(made)

    def batch(self, prepared: Sequence[Any], device: Any, dtype: Any) -> Any:
        """The tensor [n, 3, h, w] on `device`; copying to a GPU is not waited for."""
        import torch

        batch = to_device(prepared, device)
        if self._normalize is not None:
            # the channels stay last in memory, which convolutions like and others do not mind
            batch = batch.permute(0, 3, 1, 2).to(torch.float32)
            batch = self._normalize(batch.div_(255))
        return batch.to(dtype)


def fitted(settings: Mapping[str, Any], fit: Fit) -> Pixels:
    """open_clip's transform of `settings` (a tower's `preprocess_cfg`), but for how it fits.

    Size, interpolation, mean and deviation stay. `pad` fills with the mean, which is 0 once it is
    normalised; with the settings' own `fill_color` where padding is what they ask for already.
    """
    from open_clip.transform import PreprocessCfg, image_transform_v2

    own = PreprocessCfg(**settings)
    chosen = replace(own, resize_mode=_RESIZE_MODES[fit])
    if fit == "pad" and own.resize_mode != "longest":
        chosen = replace(chosen, fill_color=tuple(round(255 * value) for value in own.mean))
    return Pixels(image_transform_v2(chosen, is_train=False))


def _bound(steps: list[Any]) -> Callable[[Image.Image], Image.Image]:
    """What is done to an image first, so that the steps take no memory beyond reason."""
    first, second, *_ = [*steps, None, None]
    kind, size = type(first).__name__, getattr(first, "size", None)
    both = isinstance(size, list | tuple) and len(size) == 2
    if kind == "Resize" and both:
        return _as_it_is
    shorter = kind == "Resize" or (kind == "ResizeKeepRatio" and first.longest == 0)
    return middle if shorter and type(second).__name__ == "CenterCrop" else whole


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


def _cut(transform: Any) -> tuple[list[Any], Any]:
    """(steps for each image, the normalising step of the batch or None)."""
    from torchvision import transforms

    steps = list(getattr(transform, "transforms", []))
    # images come as RGB; this step alone would import open_clip wherever the steps are sent
    steps = [step for step in steps if type(step).__name__ != "MaybeConvertMode"]
    names = [type(step).__name__ for step in steps[-2:]]
    if names not in (["MaybeToTensor", "Normalize"], ["ToTensor", "Normalize"]):
        return [transform], None
    last = steps[-1]
    return steps[:-2], transforms.Normalize(last.mean, last.std, inplace=True)
