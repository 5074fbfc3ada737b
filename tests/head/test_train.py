import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.head.experiment import HeadConfig
from pipeline.head.train import train


def made(n=200, width=5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n, dtype=np.int8) % 2
    x = rng.standard_normal((n, width)).astype(np.float32)
    x[:, 0] += 6 * y
    return x * 0.05, y


def test_separable_rows_are_learned():
    x, y = made()
    head, losses = train(
        x, y, HeadConfig(hidden=(16,), epochs=10, batch_size=20, learning_rate=0.01)
    )
    assert len(losses) == 10
    assert losses[-1] < 0.1 < losses[0]
    assert ((head.probabilities(x) > 0.5) == (y == 1)).mean() > 0.99
    assert not head.training


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_random_state():
    x, y = made()
    config = HeadConfig(hidden=(16,), epochs=2, batch_size=32, dropout=0.2)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    (first, losses), (again, same), (other, _) = (train(x, y, config, s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert losses == same
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)


def test_every_row_counts_once_an_epoch():
    """With a learning rate of nearly nothing the mean loss is that of the untrained head."""
    x, y = made(n=50)
    config = HeadConfig(hidden=(), epochs=1, batch_size=16, learning_rate=1e-12, weight_decay=0)
    head, losses = train(x, y, config)
    p = head.probabilities(x)
    expected = -np.log(np.where(y == 1, p, 1 - p)).mean()
    assert losses == [pytest.approx(expected, abs=1e-6)]


def test_a_loss_that_is_no_number_stops_with_advice():
    x, y = made()
    x[3, 1] = np.nan
    with pytest.raises(UserError, match=r"loss became nan in epoch 1 of 20(?s:.*)learning_rate"):
        train(x, y, HeadConfig(hidden=(4,)))
