import numpy as np
import pytest

from tests.benchmarks import hypothesis_coverage as benchmark


def test_the_true_values_are_those_of_a_very_large_sample():
    rng = np.random.default_rng(0)
    reals = np.sort(rng.normal(benchmark.CENTRE, benchmark.SPREAD, 200_000))
    scenario = benchmark.Scenario(1, 1, (0.04, 0.12), 2)
    deltas = [
        2 * (1 - np.searchsorted(reals, fakes) / len(reals)).mean() - 1
        for less in scenario.less
        for fakes in [rng.normal(benchmark.CENTRE - less, 2 * benchmark.SPREAD, 200_000)]
    ]
    assert scenario.truth == (pytest.approx(0.08), pytest.approx(np.mean(deltas), abs=0.003))


@pytest.mark.parametrize("shared", [False, True])
def test_rows_of_the_simulation(shared):
    scenario = benchmark.Scenario(20, 15, (0.0, 0.1), shared=shared)
    shares = benchmark.held(scenario, 40)
    assert all(0.8 <= share <= 1 for share in shares)
    assert shares == benchmark.held(scenario, 40)


def test_families_of_verdicts():
    assert benchmark.wrong_families(2) in (0, 0.5)
