"""How well a label can be told from something simple: AUROC on images that were not learned from.

Nothing is permuted and nothing resampled: the interval is Newcombe's, which holds for few images
and at AUROCs near 1 too, and the folds follow from the images' ids. An AUROC is the mean of those
of the folds, since scores of different folds do not share a scale.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from pipeline.audit.finding import FEWEST

FOLDS = 5
_TINY = 1e-9
# (inputs, labels int8 [n], inputs of others) -> scores of the others: the higher, the more fake
Learner = Callable[[Any, np.ndarray, Any], np.ndarray]


@dataclass(frozen=True)
class Auroc:
    """An AUROC with its interval, of so many images of each label."""

    value: float
    low: float
    high: float
    reals: int
    fakes: int


def enough(label: np.ndarray) -> bool:
    """Whether there are `FEWEST` images of each label."""
    fakes = int(label.sum())
    return min(fakes, len(label) - fakes) >= FEWEST


def cross_validated(learn: Learner, x: Any, label: np.ndarray, level: float) -> Auroc:
    """The AUROC of what `learn` makes of four folds, on the fifth; each fold once.

    `x`: whatever an index array of rows picks from, n rows in the order of their images' ids, each
    image once. The interval is wrong at most in a share `level` of cases; it takes the scores as
    given, and knows nothing of how another sample would have taught them.
    """
    fold = np.empty(len(label), np.int64)
    for value in (0, 1):
        own = np.flatnonzero(label == value)
        fold[own] = np.arange(len(own)) % FOLDS  # ids are hashes: in their order it is by chance
    values = []
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        scores = learn(x[inside], label[inside], x[outside])
        values.append(auroc(label[outside], scores))
    mean, fakes = float(np.mean(values)), int(label.sum())
    reals = len(label) - fakes
    return Auroc(mean, *interval(mean, reals, fakes, level), reals, fakes)


def auroc(label: np.ndarray, scores: np.ndarray) -> float:
    """How often a fake's score is above a real's, a tie counting half."""
    fakes = int(label.sum())
    reals = len(label) - fakes
    ranks = rankdata(scores)[label == 1].sum()
    return float((ranks - fakes * (fakes + 1) / 2) / (fakes * reals))


def interval(value: float, reals: int, fakes: int, level: float) -> tuple[float, float]:
    """The AUROCs from which `value` is no further than chance takes it.

    Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic,
    part 2, Statistics in Medicine 25 (2006), method 5: Hanley and McNeil's variance of exponential
    scores, at the AUROC in question and not at the one found.
    """
    z = norm.isf(level / 2)
    half = (reals + fakes) / 2 - 1

    def beyond(true: float) -> float:
        spread = 1 + half * (1 - true) / (2 - true) + half * true / (1 + true)
        return abs(value - true) - z * np.sqrt(true * (1 - true) * spread / (reals * fakes))

    # at 0 and 1 there is no variance: both would be ends of their own
    low = brentq(beyond, 0.0, min(value, 1 - _TINY)) if value > _TINY else 0.0
    high = brentq(beyond, max(value, _TINY), 1.0) if value < 1 - _TINY else 1.0
    return float(low), float(high)
