import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import KNeighborsClassifier

from pipeline.dag import inputs
from pipeline.dag.experiment import Experiment
from pipeline.head.methods import baselines
from pipeline.head.methods.baselines import (
    BASELINES,
    NEIGHBOURS,
    STRENGTHS,
    Side,
    logistic,
    nearest_neighbours,
)
from pipeline.head.vectors.row_reader import InMemory


def side(x, y):
    return Side(InMemory(np.asarray(x, np.float32)), np.asarray(y))


def test_the_direction_of_the_cosine_is_learned():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    cosine = (0.3 - 0.05 * y + 0.01 * rng.standard_normal(200))[:, None]
    lower, higher = (
        logistic(side(cosine, label), side(cosine, label)).predict for label in (y, 1 - y)
    )
    probe = InMemory(np.array([[0.2], [0.4]], np.float32))
    assert lower(probe)[0] > 0.99 > 0.01 > lower(probe)[1]
    assert higher(probe)[0] < 0.01 < 0.99 < higher(probe)[1]
    assert lower(probe).dtype == np.float64


@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_a_logistic_regression_is_scikit_learns_of_the_least_validation_loss(noise):
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((160, 40)) * np.linspace(1, 5, 40)).astype(np.float32)
    y = (x[:, 0] + noise * rng.standard_normal(160) > 0).astype(int)
    train, held = slice(0, 80), slice(80, 160)
    found = logistic(side(x[train], y[train]), side(x[held], y[held]))
    z = (x - x[train].mean(0, np.float64)) / x[train].std(0, dtype=np.float64)
    losses = {}
    for c in STRENGTHS:  # to the end: with scikit-learn's own tolerance it is not there
        model = LogisticRegression(C=c, max_iter=100_000, tol=1e-11).fit(z[train], y[train])
        losses[c] = log_loss(y[held], model.predict_proba(z[held])[:, 1]), model
    best = min(losses, key=lambda c: losses[c][0])
    assert found.chosen == f"C = {best:g}" and best < 1.0
    expected = losses[best][1].predict_proba(z)[:, 1]
    assert np.allclose(found.predict(InMemory(x)), expected, atol=1e-5)


def test_neighbours_are_the_nearest_by_cosine_and_agree_with_scikit_learn():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((60, 4)), rng.integers(2, size=60)
    x *= rng.uniform(0.1, 10, (60, 1))  # lengths do not count
    probes = rng.standard_normal((30, 4))
    nearest = np.argsort(cosine_distances(probes, x), axis=1)[:, :5]
    five = Experiment(train="true", neighbours=5)
    share = nearest_neighbours(side(x, y), side(x, y), five).predict(side(probes, []).rows)
    assert share.dtype == np.float64
    assert np.allclose(share, y[nearest].mean(axis=1), atol=1e-15)
    model = KNeighborsClassifier(5, metric="cosine").fit(x, y)
    assert np.array_equal(share, model.predict_proba(probes)[:, 1])


def test_how_many_neighbours_vote_is_chosen_on_validation():
    """Clusters of ten, one in ten mislabelled: three neighbours are too few, 81 too many."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((40, 8)) * 5

    def images(wrong):
        x = np.repeat(centres, 10, axis=0) + 0.1 * rng.standard_normal((400, 8))
        y = np.repeat(np.arange(40) % 2, 10)
        return x, np.where(rng.random(400) < wrong, 1 - y, y)

    train, held = side(*images(0.25)), side(*images(0.0))
    found = nearest_neighbours(train, held, Experiment(train="true"))
    assert found.chosen == "k = 9" and NEIGHBOURS == (3, 9, 27, 81)
    few = side(np.eye(2), [0, 1])
    assert nearest_neighbours(few, few, Experiment(train="true")).chosen == "k = 2"


def test_each_baseline_of_the_table_is_fitted_or_is_the_mlp():
    assert tuple(BASELINES) == tuple(inputs.BASELINES)
    assert [name for name, fit in BASELINES.items() if fit is None] == ["concat MLP"]


def test_the_experiment_says_how_many_neighbours():
    x, y = np.eye(4, dtype=np.float32), np.array([0, 1, 1, 1])
    for k, share in ((1, 0), (4, 0.75), (9, 0.75)):  # of four images no nine can vote
        fitted = BASELINES["k-NN"](side(x, y), side(x, y), Experiment(train="true", neighbours=k))
        assert fitted.predict(InMemory(x[:1])).tolist() == [share]


def test_streamed_rows_are_tuned_as_held_ones(monkeypatch):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((300, 5)).astype(np.float32)
    y = (x[:, 0] + 0.5 * rng.standard_normal(300) > 0).astype(int)
    held = logistic(side(x, y), side(x, y))
    monkeypatch.setattr(baselines, "_in_memory", baselines._over_blocks)
    streamed = logistic(side(x, y), side(x, y))
    assert held.chosen == streamed.chosen
    both = [one.predict(InMemory(x)) for one in (held, streamed)]
    assert np.abs(both[0] - both[1]).max() < 2e-3
