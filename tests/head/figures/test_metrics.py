from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_curve
from sklearn.metrics import log_loss as reference_log_loss

from pipeline.head.figures.choose import Choice
from pipeline.head.figures.metrics import (
    CHOSEN,
    calibration_error,
    chance_ap,
    chosen_metrics,
    log_loss,
    metrics,
)

PAIRS = list(combinations(range(1, 6), 2))


def test_values_by_hand():
    label = np.array([0, 0, 0, 1, 1], np.int8)
    probability = np.array([0.1, 0.6, 0.2, 0.9, 0.5])
    # ranked: fake .9, real .6, fake .5, real, real; 0.5 itself counts as fake
    assert metrics(label, probability) == {
        "ap": pytest.approx((1 + 2 / 3) / 2, abs=1e-15),
        # both fakes at ranks (1, 2), (1, 3), … (4, 5): the mean AP of the ten
        "chance": pytest.approx(np.mean([1 / i + 2 / j for i, j in PAIRS]) / 2, abs=1e-15),
        "prevalence": 0.4,
        "auroc": pytest.approx(5 / 6, abs=1e-15),
        "fpr95": pytest.approx(1 / 3, abs=1e-15),  # both fakes have 0.5: one real as well
        "accuracy": 0.8,
        "balanced_accuracy": pytest.approx((2 / 3 + 1) / 2, abs=1e-15),
        "tnr": pytest.approx(2 / 3, abs=1e-15),
        "tpr": 1.0,
        "nll": pytest.approx(-np.log([0.9, 0.4, 0.8, 0.9, 0.5]).mean(), abs=1e-15),
        "ece": pytest.approx((0.1 + 0.6 + 0.2 + 0.1 + 0.5) / 5, abs=1e-15),  # a bin each
        "n": 5,
        "num_real": 3,
        "num_fake": 2,
    }


def test_chance_is_what_rankings_by_lot_have_on_average():
    from sklearn.metrics import average_precision_score

    rng, label = np.random.default_rng(0), np.repeat([0, 1], [200, 40])
    drawn = [average_precision_score(label, rng.random(240)) for _ in range(3000)]
    assert chance_ap(240, 40) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 3000**0.5)
    assert chance_ap(2, 1) == pytest.approx(0.75, abs=1e-15)
    assert chance_ap(1_000_000, 300_000) == pytest.approx(0.3, abs=2e-5)  # the share of fakes


def test_one_class_has_no_ranking_but_an_accuracy():
    fakes = metrics(np.ones(4, np.int8), np.array([0.9, 0.8, 0.2, 0.7]))
    assert (fakes["ap"], fakes["auroc"], fakes["tnr"]) == (None, None, None)
    assert (fakes["chance"], fakes["prevalence"], fakes["fpr95"]) == (None, None, None)
    assert (fakes["balanced_accuracy"], fakes["accuracy"], fakes["tpr"]) == (None, 0.75, 0.75)
    assert fakes["nll"] == pytest.approx(-np.log([0.9, 0.8, 0.2, 0.7]).mean(), abs=1e-15)
    assert fakes["num_real"] == 0


@pytest.mark.parametrize("fakes", [1, 19, 20, 21, 40, 333])
def test_the_fpr_at_95_percent_is_on_scikit_learns_curve(fakes):
    rng = np.random.default_rng(fakes)
    label = np.repeat([0, 1], [200, fakes])
    p = (rng.random(200 + fakes) + 0.3 * label).round(2)  # with ties
    fpr, tpr, _ = roc_curve(label, p, drop_intermediate=False)
    assert metrics(label, p)["fpr95"] == pytest.approx(fpr[tpr >= 0.95 - 1e-12].min(), abs=1e-15)


def test_log_loss_and_balanced_accuracy_are_scikit_learns():
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=300)
    p = np.concatenate([rng.random(296), [0, 1, 0, 1]])  # also certain ones, right and wrong
    label[296:] = [0, 1, 1, 0]
    assert log_loss(label, p) == pytest.approx(reference_log_loss(label, p), rel=1e-12)
    measured = metrics(label, p)
    expected = balanced_accuracy_score(label, p >= 0.5)
    assert measured["balanced_accuracy"] == pytest.approx(expected, abs=1e-15)


def test_the_calibration_error_weighs_each_bin_by_its_images():
    label = np.array([0, 1, 1, 1, 1, 0])
    # bins of 1/15: four of 0.5 with 3 fakes, one of 1.0 in the last bin, one of 0 in the first
    p = np.array([0.5, 0.5, 0.5, 0.5, 1.0, 0.0])
    assert calibration_error(label, p) == pytest.approx(4 / 6 * 0.25, abs=1e-15)
    assert calibration_error(label, p, bins=1) == pytest.approx(abs(4 / 6 - 0.5), abs=1e-15)
    assert calibration_error(1 - label, p) == pytest.approx((4 * 0.25 + 1 + 1) / 6, abs=1e-15)


def test_probabilities_that_are_meant_have_hardly_any_calibration_error():
    rng = np.random.default_rng(1)
    p = rng.random(200_000)
    label = rng.random(200_000) < p
    assert calibration_error(label, p) < 0.005
    assert calibration_error(label, p**3) > 0.15


def test_what_was_chosen_is_measured_beside_the_rest():
    label = np.array([0, 0, 0, 1, 1, 1])
    p = np.array([0.1, 0.3, 0.8, 0.2, 0.7, 0.9])
    choice = Choice(0.9, threshold=0.75, temperature=2.0, unsure_low=0.25, unsure_high=0.75)
    found = chosen_metrics(label, p, choice)
    assert tuple(found) == CHOSEN
    assert found["accuracy_at_threshold"] == pytest.approx(3 / 6)
    assert found["balanced_accuracy_at_threshold"] == pytest.approx(0.5)
    assert found["tnr_at_threshold"] == pytest.approx(2 / 3)
    assert found["tpr_at_threshold"] == pytest.approx(1 / 3)
    cooler = 1 / (1 + np.sqrt((1 - p) / p))  # half the logit is the square root of the odds
    assert found["nll_scaled"] == pytest.approx(reference_log_loss(label, cooler), abs=1e-12)
    assert found["ece_scaled"] == pytest.approx(calibration_error(label, cooler), abs=1e-12)
    assert found["share_unsure"] == pytest.approx(2 / 6)  # 0.3 and 0.7
    assert found["accuracy_sure"] == pytest.approx(2 / 4)  # 0.1 and 0.9; not 0.2 and 0.8


def test_a_verdict_that_is_never_sure_is_never_given():
    label = np.array([0, 1, 1])
    p = np.array([0.1, 0.2, 0.9])
    only_fake = chosen_metrics(label, p, Choice(0.9, 0.5, 1.0, None, 0.8))
    assert only_fake["share_unsure"] == pytest.approx(2 / 3)
    assert only_fake["accuracy_sure"] == 1
    none = chosen_metrics(label, p, Choice(0.9, 0.5, 1.0, None, None))
    assert (none["share_unsure"], none["accuracy_sure"]) == (1, None)
    empty = chosen_metrics(label, p, Choice(0.9, 0.15, 1.0, 0.15, 0.15))  # no band at all
    assert (empty["share_unsure"], empty["accuracy_sure"]) == (0, 1)
