"""From a method's probability to a verdict, by what the run chose on its validation images."""

from dataclasses import dataclass

import numpy as np

from pipeline.head.figures.choose import Choice, scaled

REAL, FAKE, UNSURE = "real", "fake", "unsure"


@dataclass(frozen=True)
class Verdicts:
    """Of n images: `verdict` and `likelier` lists of text, `probability` float64 [n].

    `probability` of fake is that at the run's temperature, and `threshold`, `unsure_low` and
    `unsure_high` are at it, too. `likelier` is the side of the threshold, `verdict` the same where
    it is sure: outside the band that reached `sure_at` right answers on validation images.
    """

    verdict: list[str]
    likelier: list[str]
    probability: np.ndarray
    threshold: float
    unsure_low: float | None
    unsure_high: float | None


def judged(probability: np.ndarray, choice: Choice) -> Verdicts:
    """The verdicts of a head's own probabilities, float64 [n].

    Without a bound no verdict of that side is sure. The head's own probability is compared with the
    bounds, which were found on it; the temperature moves all of them alike.
    """

    def at_temperature(bound: float | None) -> float | None:
        return None if bound is None else float(scaled(np.array([bound]), choice.temperature)[0])

    likelier = np.where(probability >= choice.threshold, FAKE, REAL)
    low = -np.inf if choice.unsure_low is None else choice.unsure_low
    high = np.inf if choice.unsure_high is None else choice.unsure_high
    sure = (probability < low) | (probability >= high)
    return Verdicts(
        np.where(sure, likelier, UNSURE).tolist(),
        likelier.tolist(),
        scaled(probability, choice.temperature),
        at_temperature(choice.threshold),
        at_temperature(choice.unsure_low),
        at_temperature(choice.unsure_high),
    )


def band(low: float | None, high: float | None, threshold: float) -> str:
    """What verdicts go by, in words: the `unsure_low`, `unsure_high` and `threshold` of a row."""
    sides = [
        "no verdict real is sure" if low is None else f"surely real below {low:.3f}",
        "no verdict fake is sure" if high is None else f"surely fake from {high:.3f} on",
    ]
    if low is not None and low == high:  # there are no others
        return ", ".join(sides)
    others = f"of the others likelier fake from {threshold:.3f} on"
    if high is not None and threshold >= high:
        others = "the others are likelier real"
    elif low is not None and threshold <= low:
        others = "the others are likelier fake"
    return f"{', '.join(sides)}; {others}"
