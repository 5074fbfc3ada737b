import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.audit.auroc import auroc, cross_validated, enough, interval
from pipeline.audit.learners import by_category, by_tree


def test_auroc_counts_pairs_and_half_of_ties():
    label = np.array([0, 0, 1, 1])
    assert auroc(label, np.array([0.1, 0.4, 0.4, 0.9])) == (1 + 0.5 + 1 + 1) / 4
    assert auroc(label, np.array([3, 4, 1, 2])) == 0
    assert auroc(label, np.zeros(4)) == 0.5
    rng = np.random.default_rng(0)
    label, scores = rng.integers(0, 2, 200), rng.integers(0, 9, 200)
    assert auroc(label, scores) == pytest.approx(roc_auc_score(label, scores))


def test_interval_is_where_the_figure_is_just_as_far_as_chance_takes_it():
    """Newcombe's variance at the end: V(t) = t(1-t) (1 + h(1-t)/(2-t) + ht/(1+t)) / (mn)."""
    m, n, z = 30, 50, 1.959964
    half = (m + n) / 2 - 1
    for end in interval(0.8, m, n, 0.05):
        spread = 1 + half * (1 - end) / (2 - end) + half * end / (1 + end)
        assert abs(0.8 - end) == pytest.approx(z * np.sqrt(end * (1 - end) * spread / (m * n)))


def test_interval_of_nothing_but_right_answers_is_no_point():
    low, high = interval(1.0, 4, 4, 0.05)
    assert low < 0.7
    assert high == 1
    assert interval(1.0, 2000, 2000, 0.001)[0] > 0.99
    assert interval(0.0, 4, 4, 0.05)[0] == 0


def test_interval_holds_the_truth_as_often_as_it_says():
    rng, inside = np.random.default_rng(1), 0
    label = np.repeat([0, 1], [40, 40])
    true = 0.7602  # of two normals one standard deviation apart
    for _ in range(400):
        low, high = interval(auroc(label, rng.standard_normal(80) + label), 40, 40, 0.05)
        inside += low <= true <= high
    assert 0.93 <= inside / 400 <= 0.99


def test_labels_that_do_not_follow_are_not_told():
    """What a learner remembers of its own rows does not count."""
    rng = np.random.default_rng(2)
    label = rng.permutation(np.repeat([0, 1], 300))
    names = np.arange(600).astype(str).astype(object)  # every image a category of its own
    assert cross_validated(by_category, names, label, 0.05).value == 0.5
    found = cross_validated(by_tree, rng.random((600, 1)), label, 0.05)
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize("count", [25, 100])
def test_intervals_allow_for_what_is_learned_by_chance(count):
    """Of nothing to learn four folds learn what the fifth contradicts: more spread than of scores
    that are given. Without allowing for it 81 to 92 % of such intervals hold 0.5."""
    rng, held = np.random.default_rng(count), []
    for _ in range(60):
        label = rng.permutation(np.repeat([0, 1], count)).astype(np.int8)
        kinds = rng.choice(list("abcdef"), 2 * count).astype(object)
        for learn, x in ((by_tree, rng.random((2 * count, 1))), (by_category, kinds)):
            found = cross_validated(learn, x, label, 0.05)
            held.append(found.low <= 0.5 <= found.high)
    assert np.mean(held) >= 0.93


def test_learning_costs_nothing_where_it_was_never_wrong():
    assert interval(1.0, 30, 30, 0.05, 1.25) == interval(1.0, 30, 30, 0.05)
    wide, bare = interval(0.5, 30, 30, 0.05, 1.25), interval(0.5, 30, 30, 0.05)
    assert wide[1] - wide[0] == pytest.approx(1.5 * (bare[1] - bare[0]), rel=0.06)


def test_rare_labels_are_in_every_fold():
    label = np.array([0] * 100 + [1] * 20)
    found = cross_validated(by_category, np.where(label, "a", "b").astype(object), label, 0.05)
    assert (found.value, found.reals, found.fakes) == (1.0, 100, 20)


def test_enough_is_twenty_of_each():
    assert enough(np.repeat([0, 1], 20))
    assert not enough(np.repeat([0, 1], [200, 19]))
    assert not enough(np.zeros(50, np.int8))
