"""Variants: the names of perturbations of an image, to test what a detector's answer survives.

    jpeg_Q     JPEG of quality Q, 1 to 100 (4:2:0, as Pillow's default), decoded again
    blur_S     Gaussian blur of S pixels standard deviation, up to 100
    noise_V    Gaussian noise of variance V, up to 1, where pixel values are 0 to 1
    resize_F   both sides times F, 0.01 to 4, bicubic; the image keeps its new size
    crop_F     the central part: both sides times F, below 1
    square_S   the central square, bicubic to S x S pixels: makes all images of one size

A chain such as `resize_0.5+jpeg_75` is applied from left to right. Numbers are written in one way
only, without needless zeros, so that a variant has one name. ITEM's Figure 4 (arXiv 2511.00427) is
the preset `figure4`: it prints 0.001, 0.005 and 0.01 for the noise, which we read as the variance,
since as a standard deviation they would be invisible. What they do to pixels: `corpus.perturb`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from hashlib import sha256
from math import ceil

from pipeline.corpus.layouts.labels import SPLITS
from pipeline.errors import nearest

CLEAN = "clean"
ALL = "all"  # stands for every image, whatever its split
ID_LENGTH = 32  # hex digits of a clean image's id
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
    "square": _Kind(1, 4096, True, -1, whole=True),
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
    return image_id[:ID_LENGTH]


def tag(variant: str) -> str:
    """What marks a part that has images in a variant: empty for clean ones."""
    return "" if variant == CLEAN else f"{variant}.v{VERSION}"


def chosen(content_ids: Iterable[str], share: float) -> list[str]:
    """The images that are among the `share` of all: those with `chance(id) < least_out(share)`.

    What a smaller share has, a larger one has too.
    """
    if share == 1:
        return list(content_ids)
    bound = least_out(share)
    return [one for one in content_ids if chance(one) < bound]


CHANCE = "variant_share "  # before an id, in what is hashed


def chance(content_id: str) -> str:
    """A number from 0 to 1 that follows from an image's id: the hex digits behind the point."""
    return sha256(f"{CHANCE}{content_id}".encode()).hexdigest()


def least_out(share: float) -> str:
    """The least `chance` that is not among a share below 1."""
    return ceil(Fraction(share) * 2**64).to_bytes(8).hex()


def check_splits(given: Mapping[str, Sequence[str]]) -> None:
    """ValueError for an unknown split, and for a variant of one that `all` has already."""
    for split, names in given.items():
        if split not in (*SPLITS, ALL):
            raise ValueError(f"there is no split '{split}': {nearest(split, (*SPLITS, ALL))}")
        both = set(names) & set(given.get(ALL, ()))
        if split != ALL and both:
            raise ValueError(f"{min(both)} of '{split}' is in '{ALL}' already")
