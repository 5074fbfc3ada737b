import numpy as np
import pytest
from scipy.stats import norm

from pipeline.head.figures.bootstrap import p_value
from pipeline.head.figures.verdict import files_tell, in_words, told_apart


def test_holms_procedure_stops_at_the_first_that_is_not_told_apart():
    """Levels 0.0125, 0.0167, 0.025, 0.05: the third misses its own, and so the fourth falls too."""
    assert told_apart({"a": 0.012, "b": 0.016, "c": 0.03, "d": 0.04}) == {"a", "b"}
    assert told_apart({"a": 0.013, "b": 0.001}) == {"a", "b"}
    assert told_apart({"a": 0.03, "b": 0.03}) == set()
    assert told_apart({}) == set()


def test_the_p_value_is_two_sided_and_never_zero():
    assert p_value(np.arange(1, 1000)) == pytest.approx(2 / 1000)
    assert p_value(-np.arange(1, 1000)) == pytest.approx(2 / 1000)
    assert p_value(np.zeros(99)) == 1
    drawn = np.random.default_rng(0).normal(1.5, 1, 100_000)
    assert p_value(drawn) == pytest.approx(2 * norm.cdf(-1.5), abs=0.003)


def row(method, difference, p, compare_to="probe"):
    return {"method": method, "compare_to": compare_to, "difference": difference, "p": p}


def test_the_table_in_words():
    rows = [row("local", 0.1, 0.002), row("cosine", 0.2, 0.002)]
    rows += [row("k-NN", -0.1, 0.004), row("global", 0.05, 0.06)]
    others = [row("probe", -0.1, 0.001, "local"), row("k-NN", -0.2, 0.04, "local")]
    assert in_words([[*rows, *others]], 1000) == [
        "against probe, by mean ap (Holm's test over 4 methods, 5 %)\n"
        "  ahead: local, cosine\n  behind: k-NN\n  not told apart: global",
        "against local, by mean ap (Holm's test over 2 methods, 5 %)\n  behind: probe, k-NN",
    ]
    assert in_words([[row("local", 0.1, None)]], 0) == []


def test_runs_are_tested_apart_and_told_together():
    first = [row("a", 0.1, 0.002), row("b", 0.1, 0.002), row("c", 0.1, 0.5)]
    second = [row("a", 0.2, 0.002), row("b", -0.1, 0.002), row("c", 0.1, 0.5)]
    third = [row("a", 0.2, 0.002), row("b", 0.1, 0.9), row("c", 0.1, 0.5)]
    assert in_words([first, second, third], 1000) == [
        "against probe, by mean ap in each of 3 runs (Holm's test over 3 methods, 5 %)\n"
        "  ahead: a\n"
        "  ahead in 1, behind in 1, not told apart in 1: b\n"
        "  not told apart: c"
    ]


def test_resamples_that_are_too_few_for_any_verdict_say_so():
    """The least p of 78 is 2 / 79 = 0.0253, above 0.05 / 2."""
    rows = [row("a", 0.5, 2 / 79), row("b", 0.5, 2 / 79)]
    assert in_words([rows], 78) == [
        "against probe, by mean ap (Holm's test over 2 methods, 5 %)\n"
        "  78 resamples cannot tell them apart: `bootstrap: 79` or more can"
    ]
    rows = [row("a", 0.5, 2 / 80), row("b", 0.5, 2 / 80)]
    assert "ahead: a, b" in in_words([rows], 79)[0]


def metadata(auroc, low, scope="mean"):
    high = None if low is None else 2 * auroc - low
    values = {"auroc": auroc, "auroc_low": low, "auroc_high": high, "scope": scope}
    values |= {"generator": "gan", "generators": 1, "seen": False}
    cosine = {**values, "auroc": 0.99, "auroc_low": 0.98, "auroc_high": 1.0}
    return [{"method": "metadata", **values}, {"method": "cosine", **cosine}]


def test_files_that_tell_reals_from_fakes_are_announced():
    said = files_tell(metadata(0.97, 0.95))
    assert said.startswith("files tell: `metadata`") and "0.970" in said
    assert files_tell(metadata(0.65, 0.58)) is None  # its interval holds 0.6
    assert files_tell(metadata(0.65, None)) is not None  # no interval to go by
    assert files_tell(metadata(None, None)) is None
    turned = files_tell(metadata(0.263, 0.24))
    assert "0.263" in turned and "the other way round than was learned" in turned
    assert "no more" in said and "no more" not in turned  # what is right learned something else
    assert files_tell(metadata(0.35, 0.25)) is None  # its interval holds 0.4
    alone = metadata(0.9, 0.8, "generator") + metadata(0.7, 0.65, "generator")
    assert "0.900 on gan;" in files_tell(alone)
    assert "0.800;" in files_tell(alone + metadata(0.8, 0.75))  # the mean, where it is far
    both = metadata(0.95, 0.9, "generator") + metadata(0.05, 0.02, "generator")
    assert "0.050 on gan;\nit misleads" in files_tell(both + metadata(0.5, 0.48))
