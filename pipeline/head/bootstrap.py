"""The bootstrap: how much a figure would move with other test images of the same kind."""

from collections.abc import Iterator
from hashlib import sha256

import numpy as np

NAMES = ("ap", "accuracy")  # what is resampled
LEVEL = 0.95
_CHUNK = 250_000  # counts held at a time: what a core's cache holds is three times as fast


def random(seed: int, group: str | None) -> np.random.Generator:
    """A group's own random numbers: another group more or less does not change its intervals."""
    digest = sha256((group or "").encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


def resample(
    label: np.ndarray, probabilities: np.ndarray, times: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """AP and accuracy at 0.5 of `times` resamples, by name: float64 [methods, times].

    `label` [n]: 0 real, 1 fake. `probabilities` float64 [methods, n]: of fake. Each resample draws,
    with replacement, as many reals as there are from the reals and as many fakes from the fakes
    (stratified: the share of fakes, on which AP depends, stays). All methods meet the same
    resamples, so that differences between methods are paired. AP is NaN without reals or fakes.
    """
    methods = [_Ranking(label, p) for p in probabilities]
    right = ((probabilities >= 0.5) == (label == 1)).T.astype(np.float64)
    both = 0 < (label == 1).sum() < len(label)
    ap = np.full((len(methods), times), np.nan)
    accuracy = np.empty((len(methods), times))
    start = 0
    for counts in _counts(label, times, rng):
        stop = start + len(counts)
        accuracy[:, start:stop] = (counts @ right).T / len(label)
        if both:
            for row, method in zip(ap, methods, strict=True):
                row[start:stop] = method.average_precision(counts)
        start = stop
    return {"ap": ap, "accuracy": accuracy}


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The central 95 % of resampled values (percentile interval)."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _counts(label: np.ndarray, times: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each image was drawn: float64 [a chunk of the resamples, n]."""
    size = max(1, _CHUNK // max(1, len(label)))
    classes = dict(enumerate(rng.spawn(2)))  # own numbers each: the chunk's size changes nothing
    for start in range(0, times, size):
        rows = min(size, times - start)
        counts = np.empty((rows, len(label)))
        for value, numbers in classes.items():
            members = np.flatnonzero(label == value)
            if n := len(members):
                drawn = numbers.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
                counts[:, members] = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        yield counts


class _Ranking:
    """One method's images from the most to the least probably fake, sorted once for all resamples.

    AP is the sum of precision x gain in recall over the distinct thresholds, as scikit-learn has
    it: images of equal probability come in together.
    """

    def __init__(self, label: np.ndarray, probability: np.ndarray):
        self.order = np.argsort(-probability, kind="stable")
        ranked = probability[self.order]
        self.last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of each threshold
        self.fake = (label[self.order] == 1).astype(np.float64)

    def average_precision(self, counts: np.ndarray) -> np.ndarray:
        """float64 [resamples] for counts [resamples, n]."""
        drawn = counts[:, self.order]
        gained = drawn * self.fake
        drawn.cumsum(axis=1, out=drawn)
        true = gained.cumsum(axis=1)
        if len(self.last) < len(self.order):
            drawn, true = drawn[:, self.last], true[:, self.last]
            gained = np.diff(true, axis=1, prepend=0)
        total = true[:, -1].copy()
        true /= np.maximum(drawn, 1, out=drawn)  # now the precision; nothing drawn: nothing gained
        true *= gained
        return true.sum(axis=1) / total
