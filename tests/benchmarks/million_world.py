"""A made-up corpus whose best detector is known: labels, captions, and vectors for them.

Every vector stands for an embedding of a CLIP of width d. Along one hidden direction u, a text t
has the component -1/2, and an image (or region) v has z / sqrt(d), where z is normal with standard
deviation 1 and mean 0 for a real image. A fake one's mean is `strength` of its generator, and LOCAL
times that for its regions, which share one z. Across u, v leans towards its own text by LEAN, and
is else noise that knows no label. So D = v - t has (z / sqrt(d) + 1/2) along u, exactly, and
nothing else in it knows the label: the best head of all is linear, and ranks by z. Of

    global         z                          fakes are shifted by s
    global+local   z + LOCAL * z of regions   fakes are shifted by s sqrt(1 + LOCAL^2)

standard deviations, for images that have objects (all but one in a thousand: their `local` is
zero). With reals and fakes of equal number, AP = integral of tpr / (tpr + fpr) over tpr.

Cosines know z too, since t leans against u: that of a fake is lower by about s / (2 sqrt(d)).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import norm

from pipeline.stages.shared.phrases import text_id

GENERATORS = ("adm", "biggan", "glide", "midjourney", "sdv14", "sdv15", "vqdm", "wukong")
SPLITS = {"test": 0.3, "train": 0.6, "val": 0.1}  # in the order of their paths
CLASSES = 20
REPEATED = 1000  # after so many images comes a file that repeats the last one's bytes
DAMAGED = 10_000  # one image in so many cannot be decoded
STRENGTH = dict(zip(GENERATORS, np.linspace(0.8, 1.5, len(GENERATORS)).tolist(), strict=True))
LOCAL = 0.6
LEAN = 0.35
_AGAINST = 0.5  # how far a text leans against u
_CAPTIONS, _ADJECTIVES, _NOUNS = 5000, 40, 150
_SYLLABLES = ("ba", "do", "fi", "gu", "ka", "lo", "mi", "nu", "pe", "ra", "si", "to", "vu", "ze")


def expected_ap(generator: str | None = None, local: bool = False) -> float:
    """AP of the best head on `global` (with `local`, on both levels), reals and fakes of equal n.

    Of one generator, or of all of them in one ranking.
    """
    shifts = np.array([STRENGTH[generator]] if generator else list(STRENGTH.values()))
    if local:
        shifts = shifts * np.sqrt(1 + LOCAL**2)
    thresholds = np.linspace(12, -10, 200_001)
    tpr = norm.sf(thresholds[:, None] - shifts).mean(1)
    fpr = norm.sf(thresholds)
    return float(np.trapezoid(tpr / np.maximum(tpr + fpr, 1e-300), tpr))


@dataclass(frozen=True)
class Strata:
    """What image `m` of `count` is: folders in the order of their paths, as a real listing has."""

    count: int

    def folders(self, images: np.ndarray) -> list[str]:
        """The folder of each image, in the layout forensynths: long runs of one label."""
        bounds = np.round(np.cumsum([0, *SPLITS.values()]) * self.count).astype(np.int64)
        split = np.searchsorted(bounds, images, side="right") - 1
        strata = len(GENERATORS) * CLASSES * 2
        size = bounds[split + 1] - bounds[split]
        stratum = (images - bounds[split]) * strata // size
        names = [
            f"{split_name}/{generator}/class{number:02d}/{kind}"
            for split_name in SPLITS
            for generator in GENERATORS
            for number in range(CLASSES)
            for kind in ("0_real", "1_fake")
        ]
        return [names[place] for place in (split * strata + stratum).tolist()]


@dataclass(frozen=True)
class Vocabulary:
    """The captions that images draw from, their objects, and a unit vector for every text."""

    width: int
    seed: int

    @cached_property
    def direction(self) -> np.ndarray:
        """u, float32 [d]."""
        u = np.random.default_rng([self.seed, 1]).standard_normal(self.width)
        return (u / np.linalg.norm(u)).astype(np.float32)

    @cached_property
    def _drawn(self) -> tuple[list[str], list[list[tuple[str, str, int, int]]]]:
        rng = np.random.default_rng([self.seed, 2])
        adjectives = [_word(number, 2) + "y" for number in range(_ADJECTIVES)]
        nouns = [_word(number, 3) for number in range(_NOUNS)]
        counts = np.resize([2, 3, 3, 4], _CAPTIONS)
        counts[::1000], counts[1::1000] = 0, 5
        captions, objects = [], []
        for number, count in enumerate(counts.tolist()):
            text, found = ("a view of" if count else f"blur {number}"), []
            # common nouns are much more common than rare ones
            heads = (_NOUNS * rng.random(count) ** 2).astype(int).tolist()
            for adjective, head in zip(rng.integers(_ADJECTIVES, size=count), heads, strict=True):
                phrase = f"{adjectives[adjective]} {nouns[head]}"
                text += " and a " if found else " a "
                found.append((phrase, nouns[head], len(text), len(text) + len(phrase)))
                text += phrase
            captions.append(text)
            objects.append(found)
        return captions, objects

    @property
    def captions(self) -> list[str]:
        """The captions, 3 objects in each on average."""
        return self._drawn[0]

    @property
    def objects(self) -> list[list[tuple[str, str, int, int]]]:
        """(phrase, head, start, end) of each caption's objects."""
        return self._drawn[1]

    @cached_property
    def texts(self) -> list[str]:
        """Every text once: captions, then phrases."""
        phrases = (phrase for found in self.objects for phrase, *_ in found)
        return list(dict.fromkeys([*self.captions, *phrases]))

    @cached_property
    def place(self) -> dict[str, int]:
        """Where a text stands in `texts`."""
        return {text: number for number, text in enumerate(self.texts)}

    @cached_property
    def ids(self) -> list[str]:
        """The text_id of each text."""
        return [text_id(text) for text in self.texts]

    @cached_property
    def across(self) -> np.ndarray:
        """float32 [texts, d]: the unit part of each text that is orthogonal to u."""
        rng = np.random.default_rng([self.seed, 3])
        return _across(rng.standard_normal((len(self.texts), self.width), np.float32), self)

    @cached_property
    def vectors(self) -> np.ndarray:
        """float32 [texts, d]: the unit vectors of the texts."""
        return -_AGAINST * self.direction + np.sqrt(1 - _AGAINST**2) * self.across

    def seen(self, texts: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """float32 [n, d]: unit vectors of images of these texts, with z along u."""
        noise = _across(rng.standard_normal((len(texts), self.width), np.float32), self)
        noise *= np.float32(np.sqrt(1 - LEAN**2))
        noise += np.float32(LEAN) * self.across[texts]
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        along = (z / np.sqrt(self.width)).astype(np.float32)[:, None]
        noise *= np.sqrt(1 - along**2)
        return noise + along * self.direction


def _across(vectors: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Takes what lies along u out of float32 [n, d], in place, and makes the rows unit vectors."""
    u = vocabulary.direction
    vectors -= np.outer(vectors @ u, u)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _word(number: int, syllables: int) -> str:
    word = ""
    for _ in range(syllables):
        number, digit = divmod(number, len(_SYLLABLES))
        word += _SYLLABLES[digit]
    return word
