import numpy as np
import pytest
from scipy.stats import norm

from tests.benchmarks import coverage


def test_the_true_values_are_those_of_a_very_large_sample():
    rng = np.random.default_rng(0)
    reals, true = coverage.drawn(rng, 200_000)[0], coverage.truth()
    means = coverage.MEANS["one"]
    fakes = [coverage.drawn(rng, 200_000)[0] + m for m in means]
    balanced = [((reals < coverage.SHIFT).mean() + (f >= coverage.SHIFT).mean()) / 2 for f in fakes]
    assert np.mean(balanced) == pytest.approx(true["balanced_accuracy"], abs=0.002)
    auroc = [(np.searchsorted(np.sort(reals), f) / len(reals)).mean() for f in fakes]
    assert np.mean(auroc) == pytest.approx(true["auroc"], abs=0.002)
    assert norm.cdf(means[0] / np.sqrt(2)) < true["auroc"] < true["ap"] + 0.05


def test_a_row_of_the_simulation(capsys):
    found = coverage.held("shared reals", 40, 0)
    assert set(found) == {"ap", "auroc", "balanced_accuracy", "ap_difference"}
    assert found == coverage.held("shared reals", 40, 0)
