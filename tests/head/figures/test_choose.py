import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, balanced_accuracy_score, log_loss

from pipeline.head.figures.choose import (
    LEAST,
    TEMPERATURES,
    best_temperature,
    best_threshold,
    choose,
    scaled,
    unsure_band,
)


def made(n=400, seed=0, shift=1.5, temperature=1.0):
    """Labels, and the true probabilities of fake with their logits multiplied by `temperature`."""
    rng = np.random.default_rng(seed)
    label = (np.arange(n) % 2).astype(np.int8)
    x = rng.standard_normal(n) + shift * label
    return label, expit(shift * (x - shift / 2) * temperature)


def test_the_threshold_has_the_highest_balanced_accuracy_of_all():
    for seed in range(2):
        label, p = made(60, seed)
        label[:20] = 0  # not as many of each
        found = best_threshold(label, p)
        values = np.append(np.unique(p), 2.0)
        best = max(balanced_accuracy_score(label, p >= cut) for cut in values)
        assert balanced_accuracy_score(label, p >= found) == pytest.approx(best, abs=1e-12)


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    label = np.array([0, 0, 1, 1])
    assert best_threshold(label, np.array([0.1, 0.2, 0.9, 0.95])) == 0.5
    assert best_threshold(label, np.array([0.7, 0.8, 0.9, 0.95])) == pytest.approx(0.85)
    assert best_threshold(label, np.array([0.3, 0.3, 0.3, 0.3])) == 0.5
    # above 0.3 or above 0.9: three of four right, either way
    assert best_threshold(np.array([0, 1, 0, 1]), np.array([0.2, 0.4, 0.8, 0.99])) == (
        pytest.approx(0.3)
    )


def test_the_temperature_is_the_one_of_the_least_nll():
    label, p = made(4000, temperature=3.0)  # three times too sure
    found = best_temperature(label, p)
    assert found == pytest.approx(3.0, abs=0.35)
    least = log_loss(label, scaled(p, found))
    for other in np.geomspace(*TEMPERATURES, 60):
        assert least <= log_loss(label, scaled(p, other)) + 1e-6
    assert best_temperature(label, scaled(p, found)) == pytest.approx(1, abs=1e-5)


def test_few_images_told_apart_without_a_fault_make_nothing_certain():
    label = np.array([0, 1] * 20)
    for p in (0.6, 0.999999):  # of twenty fakes each is one by 21 / 22
        apart = np.where(label == 1, p, 1 - p)
        found = scaled(apart, best_temperature(label, apart))
        assert found[1] == pytest.approx(21 / 22, abs=1e-5)
    assert best_temperature(label, np.where(label == 1, 0.4, 0.6)) == pytest.approx(100)
    assert best_temperature(label, np.where(label == 1, 0.51, 0.49)) == pytest.approx(0.1)


def test_scaling_keeps_order_and_takes_certainties():
    p = np.array([0.0, 1e-9, 0.3, 0.5, 0.7, 1.0])
    assert scaled(p, 1.0) == pytest.approx(p, abs=1e-12)
    warm = scaled(p, 4.0)
    assert (np.diff(warm) > 0).all()
    assert warm[3] == 0.5
    assert 0 < warm[0] < 1e-3
    assert warm[2] == pytest.approx(expit(np.log(0.3 / 0.7) / 4))


def test_the_band_is_the_narrowest_outside_of_which_verdicts_are_right():
    label, p = made(600, shift=1.2)
    threshold = best_threshold(label, p)
    low, high = unsure_band(label, p, threshold, 0.9)
    assert low < threshold < high
    real, fake = p < low, p >= high

    def expected(right):
        return (right.sum() + 1) / (len(right) + 2)

    assert expected(label[real] == 0) >= 0.9
    assert expected(label[fake] == 1) >= 0.9
    for cut in np.unique(p):  # no cut nearer to the threshold does
        if low < cut <= threshold and (below := p < cut).sum() > real.sum():
            assert expected(label[below] == 0) < 0.9
        if threshold <= cut < high and (above := p >= cut).sum() > fake.sum():
            assert expected(label[above] == 1) < 0.9


def test_a_band_is_empty_when_all_is_sure_and_open_where_nothing_is():
    label = np.array([0] * 30 + [1] * 30)
    apart = np.where(label == 1, 0.9, 0.1)
    assert unsure_band(label, apart, 0.5, 0.95) == (0.5, 0.5)
    noise = np.tile(np.linspace(0, 1, 30), 2)
    assert unsure_band(label, noise, 0.5, 0.95) == (None, None)
    half = np.concatenate([np.full(30, 0.1), np.linspace(0, 1, 30)])  # reals are never above 0.1
    low, high = unsure_band(label, half, 0.2, 0.95)
    assert (low, high) == (None, 0.2)
    few = slice(30 - LEAST + 1, 30 + LEAST - 1)  # nine of each, however far apart
    assert unsure_band(label[few], apart[few], 0.5, 0.8) == (None, None)
    for count, sure in ((17, None), (18, 0.5)):  # 18 of 19, 19 of 20
        some = slice(30 - count, 30 + count)
        assert unsure_band(label[some], apart[some], 0.5, 0.95) == (sure, sure)


def test_all_choices_at_once():
    label, p = made()
    choice = choose(label, p, 0.9)
    assert choice.validation_ap == average_precision_score(label, p)
    assert choice.threshold == best_threshold(label, p)
    assert choice.temperature == best_temperature(label, p)
    band = unsure_band(label, p, choice.threshold, 0.9)
    assert (choice.unsure_low, choice.unsure_high) == band
