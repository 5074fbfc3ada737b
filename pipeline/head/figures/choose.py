"""What is chosen on validation images, and on no others: threshold, temperature, unsure band."""

from dataclasses import dataclass

import numpy as np

TEMPERATURES = (0.1, 100.0)
LEAST = 10  # validation images beyond a cut; the share of fewer says nothing
_EPS = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Choice:
    """What one method's validation probabilities led to.

    A probability below `unsure_low` is surely real, one from `unsure_high` on surely fake, and what
    lies between is unsure; None: no probability makes this verdict sure.
    """

    validation_ap: float
    threshold: float  # fake from here on
    temperature: float
    unsure_low: float | None
    unsure_high: float | None


def choose(label: np.ndarray, probability: np.ndarray, sure_at: float) -> Choice:
    """The choices for validation images: `label` [n] (0 real, 1 fake), `probability` float64 [n].

    `sure_at`: the share of right answers that is to be expected of sure verdicts.
    """
    from sklearn.metrics import average_precision_score

    threshold = best_threshold(label, probability)
    return Choice(
        float(average_precision_score(label, probability)),
        threshold,
        best_temperature(label, probability),
        *unsure_band(label, probability, threshold, sure_at),
    )


def _cuts(probability: np.ndarray) -> np.ndarray:
    """Half way between neighbouring probabilities: all that can tell these images apart."""
    values = np.unique(probability)
    return (values[1:] + values[:-1]) / 2


def best_threshold(label: np.ndarray, probability: np.ndarray) -> float:
    """The threshold of the highest balanced accuracy; of several, the one nearest to 0.5.

    Candidates are 0.5 itself and what lies half way between neighbouring probabilities.
    """
    cuts = np.append(_cuts(probability), 0.5)
    reals, fakes = np.sort(probability[label == 0]), np.sort(probability[label == 1])
    tnr = np.searchsorted(reals, cuts) / len(reals)
    tpr = 1 - np.searchsorted(fakes, cuts) / len(fakes)
    # rounded: the same accuracy in two sums must not look like two
    balanced = np.round((tnr + tpr) / 2, 12)
    return float(cuts[np.lexsort((cuts, np.abs(cuts - 0.5), -balanced))[0]])


def scaled(probability: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities whose logits are divided by the temperature, float64 [n].

    Guo et al., On Calibration of Modern Neural Networks (ICML 2017). Probabilities of 0 and 1 are
    clipped to float64's resolution from them first. The order of the images stays.
    """
    # here and below: showing a run that is already there does not wait for scipy
    from scipy.special import expit, logit

    return expit(logit(np.clip(probability, _EPS, 1 - _EPS)) / temperature)


def best_temperature(label: np.ndarray, probability: np.ndarray) -> float:
    """The temperature between 0.1 and 100 (`TEMPERATURES`) of the least mean NLL.

    Of labels as Platt has them (Probabilistic Outputs for Support Vector Machines, 1999): of n
    fakes each is one by (n + 1) / (n + 2). A few images that are told apart without a fault would
    have a temperature of 0 otherwise, and every verdict be certain. The NLL is convex in
    1/temperature, so there is one minimum, and it is found to 1e-6 of it.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logit

    z = logit(np.clip(probability, _EPS, 1 - _EPS))
    reals, fakes = np.bincount(label, minlength=2)
    target = np.where(label == 1, (fakes + 1) / (fakes + 2), 1 / (reals + 2))

    def nll(inverse: float) -> float:
        return float((np.logaddexp(0, z * inverse) - target * z * inverse).mean())

    low, high = (1 / temperature for temperature in reversed(TEMPERATURES))
    found = minimize_scalar(nll, bounds=(low, high), method="bounded", options={"xatol": 1e-7})
    return float(1 / min((low, float(found.x), high), key=nll))


def unsure_band(
    label: np.ndarray, probability: np.ndarray, threshold: float, sure_at: float
) -> tuple[float | None, float | None]:
    """The narrowest band around the threshold outside of which both verdicts reach `sure_at`.

    (low, high), low <= threshold <= high: of further images like these at least that share is
    expected to be real below low, and fake from high on. What is expected after k of n were right
    is (k + 1) / (n + 2), by Laplace's rule of succession: twelve of twelve are no 95 %, eighteen of
    eighteen are. Each side has at least `LEAST` images; None where no cut does.
    """
    cuts = np.unique(np.append(_cuts(probability), threshold))
    reals, fakes = np.sort(probability[label == 0]), np.sort(probability[label == 1])
    below = {0: np.searchsorted(reals, cuts), 1: np.searchsorted(fakes, cuts)}
    above = {0: len(reals) - below[0], 1: len(fakes) - below[1]}

    def reached(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        count = right + wrong
        return (count >= LEAST) & (right + 1 >= sure_at * (count + 2) - 1e-9)

    lows = cuts[reached(below[0], below[1]) & (cuts <= threshold)]
    highs = cuts[reached(above[1], above[0]) & (cuts >= threshold)]
    return (
        float(lows[-1]) if len(lows) else None,
        float(highs[0]) if len(highs) else None,
    )
