import numpy as np

from pipeline.head.baselines import logistic


def test_the_direction_of_the_cosine_is_learned():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    cosine = (0.3 - 0.05 * y + 0.01 * rng.standard_normal(200))[:, None].astype(np.float32)
    lower, higher = logistic(cosine, y), logistic(cosine, 1 - y)
    probe = np.array([[0.2], [0.4]], np.float32)
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
    assert np.allclose(logistic(x, y)(x), expected, atol=1e-6)
