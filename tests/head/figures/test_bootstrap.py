import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.head.figures import bootstrap
from pipeline.head.figures.bootstrap import NAMES, OneGenerator, interval
from pipeline.head.figures.populations import populations

LABEL = np.repeat([0, 1], [40, 60])


def resample(label, scores, times, drawn_from):
    """Of one generator."""
    (found,) = bootstrap.resample([OneGenerator(np.asarray(label), scores, drawn_from)], times)
    return found


def alone(label, seed, name):
    """The populations of a generator that shares no image."""
    rows = np.arange(len(label))
    return populations(rows, np.asarray(label), {name: rows}, seed)[name]


def drawn(seed, methods=2):
    """Scores with many ties, and fakes a little higher."""
    rng = np.random.default_rng(seed)
    return np.clip((rng.random((methods, 100)) + 0.3 * LABEL).round(1) / 1.3, 0, 1)


def test_each_resample_is_scikit_learns_value_of_the_drawn_images(monkeypatch):
    kept = []
    counts_of = bootstrap._counts

    def spy(*arguments):
        for counts in counts_of(*arguments):
            kept.append(np.concatenate(list(counts.values()), axis=1))  # LABEL: reals first
            yield counts

    monkeypatch.setattr(bootstrap, "_counts", spy)
    monkeypatch.setattr(bootstrap, "_CHUNK", 700)  # seven resamples at a time
    scores = drawn(0)
    samples = resample(LABEL, scores, 20, alone(LABEL, 0, "gan"))
    counts = np.concatenate(kept)
    assert [len(chunk) for chunk in kept] == [7, 7, 6]
    assert (counts[:, LABEL == 0].sum(axis=1) == 40).all()  # stratified
    assert (counts[:, LABEL == 1].sum(axis=1) == 60).all()
    for method, p in enumerate(scores):
        right = (p >= 0.5) == LABEL
        for number, weight in enumerate(counts):
            expected = average_precision_score(LABEL, p, sample_weight=weight)
            assert samples["ap"][method, number] == pytest.approx(expected, abs=1e-6)
            expected = roc_auc_score(LABEL, p, sample_weight=weight)
            assert samples["auroc"][method, number] == pytest.approx(expected, abs=1e-6)
            of_class = [(right * weight)[value == LABEL].sum() for value in (0, 1)]
            assert samples["accuracy"][method, number] == pytest.approx(sum(of_class) / 100)
            balanced = (of_class[0] / 40 + of_class[1] / 60) / 2
            assert samples["balanced_accuracy"][method, number] == pytest.approx(balanced)


def test_the_same_seed_draws_the_same_and_groups_draw_apart():
    scores = drawn(1)
    first, same = (resample(LABEL, scores, 50, alone(LABEL, 3, "gan")) for _ in range(2))
    assert all(np.array_equal(first[name], same[name]) for name in NAMES)
    for other in (alone(LABEL, 4, "gan"), alone(LABEL, 3, "vae"), alone(LABEL, 3, None)):
        assert not np.array_equal(first["ap"], resample(LABEL, scores, 50, other)["ap"])


def test_the_draws_do_not_depend_on_the_chunk(monkeypatch):
    label, scores = LABEL[:99], drawn(4)[:, :99]  # 59 fakes
    whole = resample(label, scores, 50, alone(label, 0, "gan"))
    monkeypatch.setattr(bootstrap, "_CHUNK", 300)
    parts = resample(label, scores, 50, alone(label, 0, "gan"))
    assert all(np.array_equal(whole[name], parts[name]) for name in NAMES)


def test_methods_meet_the_same_images():
    scores = drawn(2, methods=1)
    twice = resample(LABEL, np.concatenate([scores, scores]), 50, alone(LABEL, 0, "gan"))
    assert np.array_equal(twice["ap"][0], twice["ap"][1])
    once = resample(LABEL, scores, 50, alone(LABEL, 0, "gan"))
    assert np.array_equal(once["ap"][0], twice["ap"][0])


def test_one_class_has_accuracies_only():
    label = np.ones(10, int)
    samples = resample(label, np.linspace(0, 1, 10)[None], 30, alone(label, 0, "gan"))
    assert all(np.isnan(samples[name]).all() for name in ("ap", "auroc", "balanced_accuracy"))
    assert 0 <= samples["accuracy"].min() < 0.5 < samples["accuracy"].max() <= 1


def test_the_interval_is_the_central_95_percent():
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975), abs=1e-9)


def test_intervals_hold_the_true_value_about_as_often_as_they_say():
    """Scores N(0, 1) and N(1.5, 1), as many of each: AP and accuracy of endless test sets."""
    t = np.linspace(-8, 10, 20_001)
    recall, false = norm.sf(t, 1.5), norm.sf(t)
    precision = recall / (recall + false)
    true_ap = float(np.sum((precision[1:] + precision[:-1]) / 2 * -np.diff(recall)))
    true_accuracy = float(norm.cdf(0.75))
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 150)
    inside = {"ap": 0, "accuracy": 0}
    for number in range(200):
        z = rng.standard_normal(300) + 1.5 * label
        p = 1 / (1 + np.exp(0.75 - z))
        samples = resample(label, p[None], 200, alone(label, number, "gan"))
        for name, value in (("ap", true_ap), ("accuracy", true_accuracy)):
            low, high = interval(samples[name][0])
            inside[name] += low <= value <= high
    assert 0.89 <= inside["ap"] / 200 <= 0.99
    assert 0.89 <= inside["accuracy"] / 200 <= 0.99
