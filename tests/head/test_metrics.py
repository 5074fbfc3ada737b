import numpy as np
import pytest

from pipeline.head.metrics import metrics


def test_values_by_hand():
    label = np.array([0, 0, 0, 1, 1], np.int8)
    probability = np.array([0.1, 0.6, 0.2, 0.9, 0.5])
    # ranked: fake .9, real .6, fake .5, real, real; 0.5 itself counts as fake
    assert metrics(label, probability) == {
        "ap": pytest.approx((1 + 2 / 3) / 2, abs=1e-15),
        "auroc": pytest.approx(5 / 6, abs=1e-15),
        "accuracy": 0.8,
        "tnr": pytest.approx(2 / 3, abs=1e-15),
        "tpr": 1.0,
        "n": 5,
        "num_real": 3,
        "num_fake": 2,
    }


def test_one_class_has_no_ranking_but_an_accuracy():
    fakes = metrics(np.ones(4, np.int8), np.array([0.9, 0.8, 0.2, 0.7]))
    assert (fakes["ap"], fakes["auroc"], fakes["tnr"]) == (None, None, None)
    assert (fakes["accuracy"], fakes["tpr"], fakes["num_real"]) == (0.75, 0.75, 0)
