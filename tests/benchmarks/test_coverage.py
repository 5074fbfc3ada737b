import numpy as np
import pytest
from scipy.stats import norm

from pipeline.head.figures.metrics import chance_ap
from tests.benchmarks import coverage


def test_the_true_values_are_those_of_a_very_large_sample():
    rng = np.random.default_rng(0)
    reals, true = coverage.drawn(rng, 200_000)[0], coverage.truth("separate reals", 300, 50)
    means = coverage.MEANS["one"]
    fakes = [coverage.drawn(rng, 200_000)[0] + m for m in means]
    balanced = [((reals < coverage.SHIFT).mean() + (f >= coverage.SHIFT).mean()) / 2 for f in fakes]
    assert np.mean(balanced) == pytest.approx(true["balanced_accuracy"], abs=0.002)
    auroc = [(np.searchsorted(np.sort(reals), f) / len(reals)).mean() for f in fakes]
    assert np.mean(auroc) == pytest.approx(true["auroc"], abs=0.002)
    assert norm.cdf(means[0] / np.sqrt(2)) < true["auroc"] < true["ap"] + 0.05


def test_the_true_ap_is_that_of_test_sets_of_this_size():
    """By lot, 40 fakes of 340 images have 0.131, not 0.118; these fakes are told a little."""
    scenario = coverage.SCENARIOS[2]
    few = coverage.truth(scenario, 300)["ap"]
    assert chance_ap(340, 40) == pytest.approx(0.131, abs=0.001)
    assert chance_ap(340, 40) < few < chance_ap(340, 40) + 0.06
    assert coverage.truth(scenario, 3000, 200)["ap"] < few


def test_a_row_of_the_simulation(capsys):
    found = coverage.held("shared reals", 40, 0)
    assert set(found) == {"ap", "auroc", "balanced_accuracy", "ap_difference"}
    assert found == coverage.held("shared reals", 40, 0)
