import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from pipeline.dag.experiment import Experiment
from pipeline.head.methods import neighbours
from pipeline.head.methods.baselines import Side, nearest_neighbours
from pipeline.head.vectors.row_reader import InMemory


@pytest.fixture
def made():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((600, 6), np.float32), rng.integers(2, size=600)
    return x, y, rng.standard_normal((250, 6), np.float32)


def voted(x, y, probes, k, among=None, seed=0):
    """The share of fakes among the neighbours of `probes`, as the baseline finds it."""
    train = Side(x if isinstance(x, InMemory) else InMemory(x), y)
    settings = {"neighbours": k, "neighbours_among": among, "seed": seed}
    fitted = nearest_neighbours(train, train, Experiment(train="true", **settings))
    assert fitted.chosen == f"k = {k}"
    return fitted.predict(InMemory(probes))


def test_blocks_change_nothing(made, monkeypatch):
    x, y, probes = made
    model = KNeighborsClassifier(7, metric="cosine", algorithm="brute").fit(x, y)
    for name, size in (("_QUERIES", 64), ("_CHUNK", 50)):
        monkeypatch.setattr(neighbours, name, size)
    monkeypatch.setattr("pipeline.head.vectors.row_reader.BLOCK", 130)
    share = voted(x, y, probes, 7)
    assert np.array_equal(share, model.predict_proba(probes)[:, 1])


def test_among_some_they_are_the_seeds_whatever_the_order_of_reading(made):
    x, y, probes = made
    few = voted(x, y, probes, 7, among=100, seed=3)
    chosen = neighbours.choose(600, 100, 3)
    assert len(set(chosen.tolist())) == 100
    model = KNeighborsClassifier(7, metric="cosine", algorithm="brute").fit(x[chosen], y[chosen])
    assert np.array_equal(few, model.predict_proba(probes)[:, 1])
    turned = InMemory(x[::-1].copy())
    turned.order = np.arange(600)[::-1]
    again = voted(turned, y[::-1], probes, 7, among=100, seed=3)
    assert np.array_equal(few, again)
    other = voted(x, y, probes, 7, among=100, seed=4)
    assert not np.array_equal(few, other)
    everything = voted(x, y, probes, 7, among=600)
    assert np.array_equal(everything, voted(x, y, probes, 7))
