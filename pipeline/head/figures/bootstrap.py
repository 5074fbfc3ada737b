"""The bootstrap: how much a figure would move with other test images of the same kind."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    found = {name: np.empty((len(methods), times)) for name in NAMES}
    start, counts = 0, _counts(label, times, rng)
    with ThreadPoolExecutor(_cores()) as pool:  # NumPy lets go of the interpreter's lock
        waiting = pool.submit(next, counts, None)
        while drawn := waiting.result():
            some = slice(start, start + len(drawn[0]))
            waiting = pool.submit(next, counts, None)  # the next ones, meanwhile
            figures = pool.map(lambda method, drawn=drawn: method.figures(*drawn), methods)
            for row, (ap, accuracy) in enumerate(figures):
                found["ap"][row, some], found["accuracy"][row, some] = ap, accuracy
            start = some.stop
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The central 95 % of resampled values (percentile interval)."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _counts(
    label: np.ndarray, times: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each real and each fake was drawn: int32 [a chunk of the resamples, of these]."""
    size = max(1, _CHUNK // max(1, len(label)))
    # own numbers each: the chunk's size changes nothing
    classes = [(numbers, int((label == value).sum())) for value, numbers in enumerate(rng.spawn(2))]
    for start in range(0, times, size):
        rows = min(size, times - start)
        yield tuple(_drawn(numbers, rows, n) for numbers, n in classes)


def _drawn(numbers: np.random.Generator, rows: int, n: int) -> np.ndarray:
    """int32 [rows, n]: how often each of n was drawn in n draws with replacement."""
    if not n:
        return np.zeros((rows, 0), np.int32)
    drawn = numbers.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.int32)


class _Ranking:
    """One method's reals and fakes from the most to the least probably fake, sorted once for all.

    AP is the sum of precision x gain in recall over the distinct thresholds, as scikit-learn has
    it: images of equal probability come in together. Only thresholds that bring fakes in count.
    """

    def __init__(self, label: np.ndarray, probability: np.ndarray):
        reals, fakes = -probability[label == 0], -probability[label == 1]
        self.reals, self.fakes = (np.argsort(p, kind="stable") for p in (reals, fakes))
        reals, fakes = reals[self.reals], fakes[self.fakes]
        last = np.append(fakes[1:] != fakes[:-1], True)[: len(fakes)]  # of each threshold
        self.last = None if last.all() else np.flatnonzero(last)
        self.above = np.searchsorted(reals, fakes[last], side="right")  # reals that come in by then
        self.called = [int(np.searchsorted(p, -0.5, side="right")) for p in (reals, fakes)]  # fake

    def figures(self, reals: np.ndarray, fakes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AP and accuracy, float64 [resamples], for counts int32 [resamples, reals or fakes]."""
        gained = fakes.take(self.fakes, axis=1, mode="clip")
        true = gained.cumsum(axis=1, dtype=np.int32)
        false = np.zeros((len(reals), len(self.reals) + 1), np.int32)  # of no real, of one, ...
        drawn = reals.take(self.reals, axis=1, mode="clip")
        drawn.cumsum(axis=1, dtype=np.int32, out=false[:, 1:])
        wrong, right = false[:, self.called[0]], self.called[1]
        right = true[:, right - 1] if right else 0
        accuracy = (len(self.reals) - wrong + right) / (len(self.reals) + len(self.fakes))
        if not len(self.reals) or not len(self.fakes):
            return np.full(len(reals), np.nan), accuracy
        if self.last is not None:
            true = true.take(self.last, axis=1, mode="clip")
            gained = np.diff(true, axis=1, prepend=0)
        # whole numbers until here, which are added up many times faster than fractions
        precision = true.astype(np.float64)
        drawn = false.take(self.above, axis=1, mode="clip").astype(np.float64)
        drawn += precision
        precision /= np.maximum(drawn, 1, out=drawn)  # nothing drawn: nothing gained
        precision *= gained
        return precision.sum(axis=1) / len(self.fakes), accuracy
