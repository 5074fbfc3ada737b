"""The bootstrap: how much a figure would move with other test images of the same kind."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.head.figures.populations import Population

NAMES = ("ap", "auroc", "accuracy", "balanced_accuracy")  # what is resampled
LEVEL = 0.95
_CHUNK = 250_000  # counts held at a time: what a core's cache holds is three times as fast


def resample(
    label: np.ndarray,
    probabilities: np.ndarray,
    times: int,
    drawn_from: Sequence[Population],
) -> dict[str, np.ndarray]:
    """`NAMES` (accuracies at 0.5) of `times` resamples, by name: float64 [methods, times].

    `label` [n]: 0 real, 1 fake. `probabilities` float64 [methods, n]: of fake. Each resample draws,
    with replacement, as many images as there are from the population of the reals, `drawn_from[0]`,
    and from that of the fakes: where a generator has all of both, the share of fakes, on which AP
    depends, stays. All methods meet the same resamples, so that differences between methods are
    paired. AP and AUROC, and balanced accuracy, are NaN without reals or fakes.
    """
    methods = [_Ranking(label, p) for p in probabilities]
    found = {name: np.empty((len(methods), times)) for name in NAMES}
    start, counts = 0, _counts(drawn_from, times)
    with ThreadPoolExecutor(_cores()) as pool:  # NumPy lets go of the interpreter's lock
        waiting = pool.submit(next, counts, None)
        while drawn := waiting.result():
            some = slice(start, start + len(drawn[0]))
            waiting = pool.submit(next, counts, None)  # the next ones, meanwhile
            figures = pool.map(lambda method, drawn=drawn: method.figures(*drawn), methods)
            for row, values in enumerate(figures):
                for name, value in zip(NAMES, values, strict=True):
                    found[name][row, some] = value
            start = some.stop
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The central 95 % of resampled values (percentile interval), NaN left out."""
    low, high = np.nanquantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def p_value(differences: np.ndarray) -> float:
    """How likely chance alone is as far from 0: two-sided, and at least 2 / (times + 1)."""
    differences = differences[~np.isnan(differences)]
    times = len(differences)
    beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (times + 1))


def _counts(
    drawn_from: Sequence[Population], times: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each real and each fake was drawn: int32 [a chunk of the resamples, of these]."""
    size = max(1, _CHUNK // max(1, sum(one.size for one in drawn_from)))
    # own numbers each: the chunk's size changes nothing
    numbers = [one.numbers() for one in drawn_from]
    for start in range(0, times, size):
        rows = min(size, times - start)
        drawn = (_drawn(own, rows, one.size) for own, one in zip(numbers, drawn_from, strict=True))
        yield tuple(
            counts if one.members is None else counts.take(one.members, axis=1)
            for counts, one in zip(drawn, drawn_from, strict=True)
        )


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
    AUROC is the share of pairs of a fake and a real that are in order, a tie being half a one.
    """

    def __init__(self, label: np.ndarray, probability: np.ndarray):
        reals, fakes = -probability[label == 0], -probability[label == 1]
        self.reals, self.fakes = (np.argsort(p, kind="stable") for p in (reals, fakes))
        reals, fakes = reals[self.reals], fakes[self.fakes]
        last = np.append(fakes[1:] != fakes[:-1], True)[: len(fakes)]  # of each threshold
        self.last = None if last.all() else np.flatnonzero(last)
        self.above = np.searchsorted(reals, fakes[last], side="right")  # reals that come in by then
        before = np.searchsorted(reals, fakes[last], side="left")  # and those before it
        self.before = None if np.array_equal(before, self.above) else before
        self.called = [int(np.searchsorted(p, -0.5, side="right")) for p in (reals, fakes)]  # fake

    def figures(self, reals: np.ndarray, fakes: np.ndarray) -> tuple[np.ndarray, ...]:
        """`NAMES`, float64 [resamples] each, for counts int32 [resamples, reals or fakes]."""
        gained = fakes.take(self.fakes, axis=1, mode="clip")
        true = np.zeros((len(fakes), len(self.fakes) + 1), np.int32)  # of no fake, of one, ...
        gained.cumsum(axis=1, dtype=np.int32, out=true[:, 1:])
        false = np.zeros((len(reals), len(self.reals) + 1), np.int32)
        drawn = reals.take(self.reals, axis=1, mode="clip")
        drawn.cumsum(axis=1, dtype=np.int32, out=false[:, 1:])
        wrong, right = false[:, self.called[0]], true[:, self.called[1]]
        # float64, and how many reals and fakes were drawn: of a shared population not always all
        num_real, num_fake = false[:, -1].astype(float), true[:, -1].astype(float)
        with np.errstate(invalid="ignore"):
            accuracy = (num_real - wrong + right) / (num_real + num_fake)
            balanced = (1 - wrong / num_real + right / num_fake) / 2
            if not len(self.reals) or not len(self.fakes):
                none = np.full(len(reals), np.nan)
                return none, none, accuracy, none
            true = true[:, 1:]
            if self.last is not None:
                true = true.take(self.last, axis=1, mode="clip")
                gained = np.diff(true, axis=1, prepend=0)
            # whole numbers until here, which are added up many times faster than fractions; float32
            # is right to a millionth of a figure, and half the memory to go through
            weight, precision = gained.astype(np.float32), true.astype(np.float32)
            over = false.take(self.above, axis=1, mode="clip").astype(np.float32)
            wrong_pairs = np.einsum("rf,rf->r", weight, over)  # the real first, or a tie
            if self.before is not None:
                before = false.take(self.before, axis=1, mode="clip").astype(np.float32)
                wrong_pairs = (wrong_pairs + np.einsum("rf,rf->r", weight, before)) / 2
            over += precision
            precision /= np.maximum(over, 1, out=over)  # nothing drawn: nothing gained
            ap = np.einsum("rf,rf->r", precision, weight) / num_fake
            return ap, 1 - wrong_pairs / (num_real * num_fake), accuracy, balanced
