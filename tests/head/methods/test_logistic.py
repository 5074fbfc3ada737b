import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from pipeline.head.methods.logistic import logistic_over_blocks
from pipeline.head.vectors.row_reader import over_blocks
from pipeline.head.vectors.stream import Column, Streamed


@pytest.mark.parametrize("c", [0.01, 1.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_it_is_scikit_learns_logistic_regression(tmp_path, dtype, c):
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((9000, 6)) * [0.1, 1, 2, 3, 40, 0] + [0, 5, 0, 1, 90, 7]).astype(dtype)
    y = (x[:, 1] + rng.standard_normal(9000) > 5).astype(int)
    x.tofile(tmp_path / "x")
    streamed = Streamed([Column(tmp_path / "x", 9000, 6, x.dtype)], np.arange(9000), 0)

    def probabilities():
        weight, mean, bias = logistic_over_blocks(streamed, y, c)
        return over_blocks(streamed, lambda block: expit(((block - mean) @ weight + bias).double()))

    found = probabilities()
    x = x.astype(np.float64)
    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    expected = LogisticRegression(C=c, max_iter=1000).fit(z, y).predict_proba(z)[:, 1]
    assert np.abs(found - expected).max() < 2e-4  # its solver stops within 1e-4, too
    assert np.array_equal(found, probabilities())
