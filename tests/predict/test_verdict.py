"""Verdicts by hand."""

import numpy as np
import pytest

from pipeline.head.figures.choose import Choice
from pipeline.predict.percentiles import Percentiles
from pipeline.predict.verdict import band, judged

P = np.array([0.1, 0.2, 0.5, 0.6, 0.8, 0.9])


def test_sides_of_the_threshold_and_the_band():
    found = judged(P, Choice(0.9, 0.6, 1.0, 0.2, 0.9))
    assert found.likelier == ["real", "real", "real", "fake", "fake", "fake"]
    assert found.verdict == ["real", "unsure", "unsure", "unsure", "unsure", "fake"]
    assert found.probability == pytest.approx(P)
    assert (found.threshold, found.unsure_low, found.unsure_high) == pytest.approx((0.6, 0.2, 0.9))


def test_the_temperature_moves_bounds_and_probabilities_alike():
    found = judged(P, Choice(0.9, 0.5, 2.0, None, 0.8))
    assert found.probability[-2] == pytest.approx(1 / (1 + 4**-0.5))  # logit ln 4, halved
    assert found.unsure_high == pytest.approx(found.probability[-2])
    assert found.threshold == pytest.approx(0.5)
    assert found.unsure_low is None
    assert found.verdict == ["unsure"] * 4 + ["fake"] * 2


def test_percentiles_lie_between_those_that_are_known():
    known = Percentiles({"global": np.linspace(0, 2, 1001)}, {"global": 5})
    given = np.array([-1, 0.5, 1.0, 3.0, np.nan])
    assert known.of("global", given).tolist()[:4] == [0, 25, 50, 100]
    assert np.isnan(known.of("global", given)[4])
    assert np.isnan(known.of("local", given)).all()


def test_the_band_in_words():
    assert band(0.2, 0.8, 0.5) == (
        "surely real below 0.200, surely fake from 0.800 on; of the others likelier fake from "
        "0.500 on"
    )
    assert band(0.2, 0.8, 0.8).endswith("0.800 on; the others are likelier real")
    assert band(0.2, 0.8, 0.2).endswith("0.800 on; the others are likelier fake")
    assert band(0.5, 0.5, 0.5) == "surely real below 0.500, surely fake from 0.500 on"
    assert band(None, None, 0.5).endswith("fake is sure; of the others likelier fake from 0.500 on")
