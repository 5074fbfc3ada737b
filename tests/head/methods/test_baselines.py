import numpy as np
import pytest

from pipeline.dag import experiment
from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.methods.baselines import BASELINES, logistic, nearest_neighbours
from pipeline.head.vectors.row_reader import InMemory


def test_the_direction_of_the_cosine_is_learned():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    cosine = (0.3 - 0.05 * y + 0.01 * rng.standard_normal(200))[:, None].astype(np.float32)
    lower, higher = logistic(InMemory(cosine), y), logistic(InMemory(cosine), 1 - y)
    probe = InMemory(np.array([[0.2], [0.4]], np.float32))
    assert lower(probe)[0] > 0.99 > 0.01 > lower(probe)[1]
    assert higher(probe)[0] < 0.01 < 0.99 < higher(probe)[1]
    assert lower(probe).dtype == np.float64


def test_the_linear_probe_is_scikit_learns_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    x = rng.standard_normal((80, 5)) * [1, 2, 3, 4, 5]
    y = (x[:, 0] + rng.standard_normal(80) > 0).astype(int)
    z = (x - x.mean(0)) / x.std(0)
    expected = LogisticRegression(max_iter=1000).fit(z, y).predict_proba(z)[:, 1]
    assert np.allclose(logistic(InMemory(x), y)(InMemory(x)), expected, atol=1e-6)


def test_neighbours_are_the_nearest_by_cosine_and_agree_with_scikit_learn():
    from sklearn.metrics.pairwise import cosine_distances
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((60, 4)), rng.integers(2, size=60)
    x *= rng.uniform(0.1, 10, (60, 1))  # lengths do not count
    probes = rng.standard_normal((30, 4))
    nearest = np.argsort(cosine_distances(probes, x), axis=1)[:, :5]
    share = nearest_neighbours(InMemory(x), y, 5)(InMemory(probes))
    assert share.dtype == np.float64
    assert np.allclose(share, y[nearest].mean(axis=1), atol=1e-15)
    model = KNeighborsClassifier(5, metric="cosine").fit(x, y)
    assert np.array_equal(share, model.predict_proba(probes)[:, 1])
    assert np.array_equal(nearest_neighbours(InMemory(x), y, 1)(InMemory(x)), y)


def test_more_neighbours_than_training_images_are_refused():
    with pytest.raises(UserError, match=r"9 neighbours are more than the 4 (?s:.*)`neighbours`"):
        nearest_neighbours(InMemory(np.eye(4)), np.array([0, 1, 0, 1]), 9)


def test_each_baseline_has_its_name_in_the_table_and_its_columns():
    assert tuple(BASELINES) == experiment.BASELINES
    assert {name: baseline.columns for name, baseline in BASELINES.items()} == {
        "linear probe": ("image_embedding",),
        "k-NN": ("image_embedding",),
        "concat MLP": ("image_embedding", "caption_embedding"),
        "caption text": ("caption_embedding",),
        "metadata": ("metadata",),
        "cosine": ("cosine_global",),
    }


def test_the_concat_mlp_has_no_fit_of_its_own():
    assert [name for name, baseline in BASELINES.items() if baseline.fit is None] == ["concat MLP"]


def test_the_experiment_says_how_many_neighbours():
    x, y = np.eye(4), np.array([0, 1, 1, 1])
    for k, share in ((1, 0), (4, 0.75)):
        predict = BASELINES["k-NN"].fit(InMemory(x), y, Experiment(train="true", neighbours=k))
        assert predict(InMemory(x[:1])).tolist() == [share]
