"""The bootstrap: how much a figure would move with other test images of the same kind."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipeline.head.figures.populations import Key, Population

NAMES = ("ap", "auroc", "accuracy", "balanced_accuracy")  # what is resampled
LEVEL = 0.95
_TINY = np.float32(1e-30)  # is lost in any count but 0
_CHUNK = 250_000  # counts held at a time: what a core's cache holds is three times as fast


@dataclass(frozen=True)
class OneGenerator:
    """A generator's test images, and what they are drawn from: its reals and its fakes.

    `label` [n]: 0 real, 1 fake. `probabilities` float64 [methods, n]: of fake.
    """

    label: np.ndarray
    probabilities: np.ndarray
    drawn_from: tuple[Population, Population]


def resample(tested: Sequence[OneGenerator], times: int) -> list[dict[str, np.ndarray]]:
    """`NAMES` (accuracies at 0.5) of `times` resamples of each: float64 [methods, times], by name.

    Each resample draws, with replacement, as many images as there are from every population: where
    a generator has all of its two, the share of fakes, on which AP depends, stays. All generators
    and methods meet the same resamples, so that means over generators and differences between
    methods are paired. AP and AUROC, and balanced accuracy, are NaN without reals or fakes.
    """
    methods = [_rankings(tested, m) for m in range(len(tested[0].probabilities))]
    shape = (len(methods), times)
    found = [{name: np.empty(shape) for name in NAMES} for _ in tested]
    drawn_from = {one.key: one for group in tested for one in group.drawn_from}
    start = 0
    under_way: deque[list[Future[None]]] = deque()

    def measure(method: int, some: slice, drawn: Mapping[Key, np.ndarray]) -> None:
        of_reals: dict[int, np.ndarray] = {}  # once for all generators that share them
        for ranking, samples in zip(methods[method], found, strict=True):
            if id(ranking.reals) not in of_reals:
                of_reals[id(ranking.reals)] = ranking.reals.sums(drawn)[1]
            figures = ranking.figures(of_reals[id(ranking.reals)], *ranking.fakes.sums(drawn))
            for name, values in zip(NAMES, figures, strict=True):
                samples[name][method, some] = values

    with ThreadPoolExecutor(_cores()) as pool:  # NumPy and torch let go of the interpreter's lock
        for drawn in _counts(list(drawn_from.values()), times):
            some = slice(start, start := start + len(next(iter(drawn.values()))))
            under_way.append([pool.submit(measure, m, some, drawn) for m in range(len(methods))])
            if len(under_way) > 2:  # drawn ahead, but not all in memory
                _wait(under_way.popleft())
        for futures in under_way:
            _wait(futures)
    return found


def _wait(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The central 95 % of resampled values (percentile interval), NaN left out."""
    low, high = np.nanquantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def centred(samples: np.ndarray, value: float) -> np.ndarray:
    """Resampled APs about the AP that was found, in place of above it.

    The AP of a sample is on average above that of many images, and a resample, which has images
    twice, is so once more: half a standard deviation in the mean of eight generators of 100 images.
    What is asked is how far APs of other test images of this size lie from each other.
    """
    return np.clip(samples + (value - np.nanmean(samples)), 0.0, 1.0)


def p_value(differences: np.ndarray) -> float:
    """How likely chance alone is as far from 0: two-sided, and at least 2 / (times + 1)."""
    differences = differences[~np.isnan(differences)]
    times = len(differences)
    beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (times + 1))


def _counts(drawn_from: Sequence[Population], times: int) -> Iterator[dict[Key, np.ndarray]]:
    """How often each image of each population was drawn: int32 [a chunk of the resamples, size]."""
    size = max(1, _CHUNK // max(1, sum(one.size for one in drawn_from)))
    # own numbers each: the chunk's size changes nothing
    numbers = [one.numbers() for one in drawn_from]
    for start in range(0, times, size):
        rows = min(size, times - start)
        each = zip(numbers, drawn_from, strict=True)
        yield {one.key: _drawn(own, rows, one.size) for own, one in each}


def _drawn(numbers: np.random.Generator, rows: int, n: int) -> np.ndarray:
    """int32 [rows, n]: how often each of n was drawn in n draws with replacement."""
    if not n:
        return np.zeros((rows, 0), np.int32)
    drawn = numbers.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.int32)


class _Ordered:
    """A method's images of one label from the most to the least probably fake."""

    def __init__(self, probability: np.ndarray, population: Population):
        order = np.argsort(-probability, kind="stable")
        self.key = population.key
        self.places = order if population.members is None else population.members[order]
        self.scores = -probability[order]  # increasing

    def same(self, other: "_Ordered") -> bool:
        """Whether these are the same images with the same scores."""
        mine, theirs = (self.places, self.scores), (other.places, other.scores)
        return self.key == other.key and all(map(np.array_equal, mine, theirs))

    def sums(self, drawn: Mapping[Key, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Counts in this order, int32 [resamples, n], and their sums so far, from 0 on: [., n + 1].

        torch adds up three times as fast as NumPy, which holds the interpreter's lock meanwhile.
        """
        import torch  # here, so that showing a run that is already there does not wait for it

        counts = drawn[self.key].take(self.places, axis=1, mode="clip")
        sums = np.zeros((len(counts), len(self.places) + 1), np.int32)
        out = torch.from_numpy(sums)[:, 1:]
        torch.cumsum(torch.from_numpy(counts), 1, dtype=torch.int32, out=out)
        return counts, sums


def _rankings(tested: Sequence[OneGenerator], method: int) -> list["_Ranking"]:
    """Those of a method, of each generator; the same reals are there once."""
    found: list[_Ranking] = []
    for one in tested:
        p = one.probabilities[method]
        sides = zip((0, 1), one.drawn_from, strict=True)
        reals, fakes = (_Ordered(p[one.label == value], drawn) for value, drawn in sides)
        known = next((other.reals for other in found if reals.same(other.reals)), reals)
        found.append(_Ranking(known, fakes))
    return found


class _Ranking:
    """One method's reals and fakes of one generator, sorted once for all resamples.

    AP is the sum of precision x gain in recall over the distinct thresholds, as scikit-learn has
    it: images of equal probability come in together. Only thresholds that bring fakes in count.
    AUROC is the share of pairs of a fake and a real that are in order, a tie being half a one.
    """

    def __init__(self, reals: _Ordered, fakes: _Ordered):
        self.reals, self.fakes = reals, fakes
        last = np.append(fakes.scores[1:] != fakes.scores[:-1], True)  # of each threshold
        last = last[: len(fakes.scores)]
        self.last = None if last.all() else np.flatnonzero(last)
        thresholds = fakes.scores[last]
        self.above = np.searchsorted(reals.scores, thresholds, side="right")  # reals in by then
        before = np.searchsorted(reals.scores, thresholds, side="left")  # and those before it
        self.before = None if np.array_equal(before, self.above) else before
        self.called = [int(np.searchsorted(p.scores, -0.5, side="right")) for p in (reals, fakes)]

    def figures(
        self, false: np.ndarray, gained: np.ndarray, true: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """`NAMES`, float64 [resamples] each, of sums of reals, counts of fakes and their sums."""
        wrong, right = false[:, self.called[0]], true[:, self.called[1]]  # called fake
        # float64, and how many reals and fakes were drawn: of a shared population not always all
        num_real, num_fake = false[:, -1].astype(float), true[:, -1].astype(float)
        with np.errstate(invalid="ignore"):
            accuracy = (num_real - wrong + right) / (num_real + num_fake)
            balanced = (1 - wrong / num_real + right / num_fake) / 2
            if not len(self.reals.scores) or not len(self.fakes.scores):
                none = np.full(len(accuracy), np.nan)
                return none, none, accuracy, none
            true = true[:, 1:]
            if self.last is not None:
                true = true.take(self.last, axis=1, mode="clip")
                gained = np.diff(true, axis=1, prepend=0)
            # whole numbers until here, which are added up many times faster than fractions; float32
            # is right to a millionth of a figure, and half the memory to go through
            weight, precision = gained.astype(np.float32), true.astype(np.float32)
            over = false.take(self.above, axis=1, mode="clip").astype(np.float32)
            wrong_pairs = np.vecdot(weight, over)  # the real first, or a tie
            if self.before is not None:
                before = false.take(self.before, axis=1, mode="clip").astype(np.float32)
                wrong_pairs = (wrong_pairs + np.vecdot(weight, before)) / 2
            over += precision
            over += _TINY  # nothing drawn: nothing gained, and no 0 / 0
            precision /= over
            ap = np.vecdot(precision, weight) / num_fake
            return ap, 1 - wrong_pairs / (num_real * num_fake), accuracy, balanced
