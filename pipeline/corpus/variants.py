"""Variants: named perturbations of an image, to test what a detector's answer survives.

    jpeg_Q     JPEG of quality Q, 1 to 100 (4:2:0, as Pillow's default), decoded again
    blur_S     Gaussian blur of S pixels standard deviation, up to 100
    noise_V    Gaussian noise of variance V, up to 1, where pixel values are 0 to 1
    resize_F   both sides times F, 0.01 to 4, bicubic; the image keeps its new size
    crop_F     the central part: both sides times F, below 1

A chain such as `resize_0.5+jpeg_75` is applied from left to right. Numbers are written in one way
only, without needless zeros, so that a variant has one name. ITEM's Figure 4 (arXiv 2511.00427) is
the preset `figure4`: it prints 0.001, 0.005 and 0.01 for the noise, which we read as the variance,
since as a standard deviation they would be below one step of eight bits.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from hashlib import sha256

import numpy as np
from PIL import Image

from pipeline.corpus.describe import MAX_PIXELS, ImageError
from pipeline.corpus.layouts import SPLITS
from pipeline.errors import nearest

CLEAN = "clean"
ALL = "all"  # stands for every image, whatever its split
VERSION = 1  # raised when a variant gives other pixels: its rows are then computed anew

PRESETS = {
    "figure4": (
        *("noise_0.001", "noise_0.005", "noise_0.01"),
        *("blur_1", "blur_2", "blur_3"),
        *("jpeg_75", "jpeg_50", "jpeg_25"),
    ),
}

_LONGEST = 60  # characters: a name is part of file names
_STEP = re.compile(r"([a-z]+)_(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Step:
    """One perturbation of a chain: its `kind`, and the number in its name."""

    kind: str
    amount: float


@dataclass(frozen=True)
class _Kind:
    """What a kind takes: least < amount <= most (from least on if `closed`), whole if `whole`.

    `worse` is the sign of the amount as the image gets worse.
    """

    least: float
    most: float
    closed: bool
    worse: int
    whole: bool = False

    def refuses(self, amount: float) -> str | None:
        """Why not this amount, or None."""
        low = self.least <= amount if self.closed else self.least < amount
        if low and amount <= self.most and (not self.whole or amount == int(amount)):
            return None
        what = "a whole number" if self.whole else "a number"
        start = f"from {self.least:g}" if self.closed else f"above {self.least:g}"
        return f"takes {what} {start} to {self.most:g}"


_KINDS: Mapping[str, _Kind] = {  # in the order of tables
    "noise": _Kind(0, 1, False, 1),
    "blur": _Kind(0, 100, False, 1),
    "jpeg": _Kind(1, 100, True, -1, whole=True),
    "resize": _Kind(0.01, 4, True, -1),
    "crop": _Kind(0.01, 0.99, True, -1),
}


@cache
def parse(name: str) -> tuple[Step, ...]:
    """The steps of a variant; none for `clean`. ValueError says what is wrong, or the nearest."""
    if name == CLEAN:
        return ()
    if len(name) > _LONGEST:
        raise ValueError(f"'{name}' is longer than {_LONGEST} characters")
    return tuple(_step(text, name) for text in name.split("+"))


def _step(text: str, name: str) -> Step:
    kind, _, number = text.partition("_")
    match = _STEP.fullmatch(text)
    if match is None or kind not in _KINDS:
        there = f" in '{name}'" if text != name else ""
        known = [f"{known}_{number if match else 'N'}" for known in _KINDS]
        hint = nearest(text, known)
        raise ValueError(f"there is no variant '{text}'{there}: {hint}")
    amount = Decimal(number)
    if why := _KINDS[kind].refuses(float(amount)):
        raise ValueError(f"'{text}': {kind} {why}")
    written = f"{kind}_{amount.normalize():f}"
    if written != text:
        raise ValueError(f"'{text}' is written {written}")
    return Step(kind, float(amount))


def expanded(given: str | Sequence[str]) -> tuple[str, ...]:
    """The variants of a preset's name, or of a list of names (presets among them), in order.

    ValueError for a name that `parse` refuses, for `clean`, and for a name given twice.
    """
    names: list[str] = []
    for name in [given] if isinstance(given, str) else given:
        names += PRESETS.get(name, [name])
    for name in names:
        if "_" not in name and name != CLEAN:
            raise ValueError(f"there is no variant or preset '{name}': {_nearest_of_all(name)}")
        if not parse(name):
            raise ValueError(f"'{CLEAN}' is there always: leave it out")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"names {min(twice)} twice")
    return tuple(names)


def _nearest_of_all(name: str) -> str:
    return nearest(name, [*PRESETS, *(f"{kind}_N" for kind in _KINDS)])


def order(names: Iterable[str]) -> list[str]:
    """Distinct variants as tables show them: clean first, then kind by kind, the mildest first."""
    ranks = {kind: rank for rank, kind in enumerate(_KINDS)}

    def key(name: str) -> list[tuple[int, float]]:
        return [(ranks[step.kind], step.amount * _KINDS[step.kind].worse) for step in parse(name)]

    return sorted(set(names), key=key)


def variant_id(content_id: str, variant: str) -> str:
    """The image_id of an image in a variant."""
    return content_id if variant == CLEAN else f"{content_id}-{variant}"


def content_id(image_id: str) -> str:
    """The image_id without its variant."""
    return image_id[:32]


def tag(split: str, variant: str, share: float) -> str:
    """What marks the parts of `images` that hold one variant of one choice of images."""
    of = "" if share == 1 else f".share_{Decimal(str(share)).normalize():f}"
    return f"{split}.{variant}{of}.v{VERSION}"


def chosen(content_id: str, share: float) -> bool:
    """Whether an image is among the `share` of all: a hash of its id is below it.

    What a smaller share has, a larger one has too.
    """
    if share == 1:
        return True
    digest = sha256(f"variant_share {content_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def check_splits(given: Mapping[str, Sequence[str]]) -> None:
    """ValueError for an unknown split, and for a variant of one that `all` has already."""
    for split, names in given.items():
        if split not in (*SPLITS, ALL):
            raise ValueError(f"there is no split '{split}': {nearest(split, (*SPLITS, ALL))}")
        both = set(names) & set(given.get(ALL, ()))
        if split != ALL and both:
            raise ValueError(f"{min(both)} of '{split}' is in '{ALL}' already")


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

    values = np.asarray(image, np.float32)
    return _rounded(gaussian_filter(values, (sigma, sigma, 0), truncate=4.0))


def _noise(image: Image.Image, variance: float, seed: str) -> Image.Image:
    digest = sha256(f"noise {seed}".encode()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, "<u4").tolist())
    values = np.asarray(image, np.float32)
    drawn = rng.standard_normal(values.shape, np.float32)
    return _rounded(values + np.float32(255 * variance**0.5) * drawn)


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


_PIXELS: Mapping[str, Callable[[Image.Image, float, str], Image.Image]] = {
    "blur": _blur,
    "noise": _noise,
    "resize": _resize,
    "crop": _crop,
}
