"""What variants do to pixels: `pipeline.corpus.variants` has their names, and what they mean."""

import io
from collections.abc import Callable, Mapping
from hashlib import sha256

import numpy as np
from PIL import Image

from pipeline.corpus.budget import tiles
from pipeline.corpus.opened import ImageError
from pipeline.corpus.variants import parse

MAX_PIXELS = 178_956_970  # of what a variant makes: its rows are the same for every corpus

_TRUNCATE = 4.0  # standard deviations: a Gaussian's reach


def perturb(image: Image.Image, variant: str, content_id: str) -> tuple[Image.Image, bytes | None]:
    """An upright RGB image in a variant, and the file it came from if the last step is JPEG.

    Noise is drawn from `content_id` and the step's place in the chain, so it is the same wherever
    and whenever it is drawn, and at every strength. ImageError when the result would be larger than
    MAX_PIXELS.
    """
    data = None
    for place, step in enumerate(parse(variant)):
        if step.kind == "jpeg":
            data = _jpeg(image, int(step.amount))
            image = Image.open(io.BytesIO(data), formats=("JPEG",))
            image.load()
        else:
            image, data = _PIXELS[step.kind](image, step.amount, f"{content_id} {place}"), None
    return image, data


def _jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _blur(image: Image.Image, sigma: float, seed: str) -> Image.Image:
    from scipy.ndimage import gaussian_filter

    out, reach = Image.new("RGB", image.size), int(_TRUNCATE * sigma + 0.5)
    for left, top, right, bottom in tiles(image.size):  # each with what the filter sees around it
        x0, y0 = max(0, left - reach), max(0, top - reach)
        around = (x0, y0, min(image.width, right + reach), min(image.height, bottom + reach))
        values = np.asarray(image.crop(around), np.float32)
        made = gaussian_filter(values, (sigma, sigma, 0), truncate=_TRUNCATE)
        out.paste(_rounded(made[top - y0 : bottom - y0, left - x0 : right - x0]), (left, top))
    return out


def _noise(image: Image.Image, variance: float, seed: str) -> Image.Image:
    digest = sha256(f"noise {seed}".encode()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, "<u4").tolist())
    out = Image.new("RGB", image.size)
    for box in tiles(image.size):  # in the order in which the numbers are drawn
        values = np.asarray(image.crop(box), np.float32)
        drawn = rng.standard_normal(values.shape, np.float32)
        out.paste(_rounded(values + np.float32(255 * variance**0.5) * drawn), box)
    return out


def _rounded(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _resize(image: Image.Image, factor: float, seed: str) -> Image.Image:
    size = tuple(max(1, round(side * factor)) for side in image.size)
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError(f"image is too large: {size[0]}x{size[1]} is over {MAX_PIXELS:,} pixels")
    return image.resize(size, Image.Resampling.BICUBIC)


def _crop(image: Image.Image, factor: float, seed: str) -> Image.Image:
    width, height = (max(1, round(side * factor)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _square(image: Image.Image, side: float, seed: str) -> Image.Image:
    short = min(image.size)
    left, top = ((length - short) / 2 for length in image.size)
    box = (left, top, left + short, top + short)
    return image.resize((int(side), int(side)), Image.Resampling.BICUBIC, box)


_PIXELS: Mapping[str, Callable[[Image.Image, float, str], Image.Image]] = {
    "blur": _blur,
    "noise": _noise,
    "resize": _resize,
    "crop": _crop,
    "square": _square,
}
