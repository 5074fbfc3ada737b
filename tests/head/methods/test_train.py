import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from pipeline.dag.experiment import HeadConfig
from pipeline.errors import UserError
from pipeline.head.methods import train as training
from pipeline.head.methods.train import Epoch, Keeper, class_weights, train


def made(n=200, width=5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n, dtype=np.int8) % 2
    x = rng.standard_normal((n, width)).astype(np.float32)
    x[:, 0] += 6 * y
    return x * 0.05, y


def test_separable_rows_are_learned():
    x, y = made()
    config = HeadConfig(hidden=(16,), epochs=10, batch_size=20, learning_rate=0.01)
    trained = train(x, y, config)
    head, losses = trained.head, [point.train_loss for point in trained.curve]
    assert [point.epoch for point in trained.curve] == list(range(1, 11))
    assert trained.best == 10
    assert {point.validation_ap for point in trained.curve} == {None}
    assert losses[-1] < 0.1 < losses[0]
    assert ((head.probabilities(x) > 0.5) == (y == 1)).mean() > 0.99
    assert not head.training


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_random_state():
    x, y = made()
    config = HeadConfig(hidden=(16,), epochs=2, batch_size=32, dropout=0.2)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    held = made(n=60, seed=1)
    first, again, other = (train(x, y, config, seed, held) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert first.curve == again.curve
    for name, value in first.head.state_dict().items():
        assert torch.equal(value, again.head.state_dict()[name])
    assert not torch.equal(first.head.layers[0].weight, other.head.layers[0].weight)


def test_every_row_counts_once_an_epoch():
    """With a learning rate of nearly nothing the mean loss is that of the untrained head."""
    x, y = made(n=50)
    config = HeadConfig(hidden=(), epochs=1, batch_size=16, learning_rate=1e-12, weight_decay=0)
    trained = train(x, y, config, 0, (x, y))
    p = trained.head.probabilities(x)
    expected = pytest.approx(-np.log(np.where(y == 1, p, 1 - p)).mean(), abs=1e-6)
    assert trained.curve == [
        Epoch(1, 1e-12, expected, expected, average_precision_score(y, p)),
    ]


def test_a_loss_that_is_no_number_stops_with_advice():
    x, y = made()
    x[3, 1] = np.nan
    with pytest.raises(UserError, match=r"the loss became nan in epoch 1 of 20, .*rate of 0\.001"):
        train(x, y, HeadConfig(hidden=(4,)))
    sound, labels = made()
    with pytest.raises(UserError, match=r"the validation loss became nan(?s:.*)learning_rate"):
        train(sound, labels, HeadConfig(hidden=(4,)), 0, (x, y))


def test_the_learning_rate_falls_along_a_cosine_to_zero():
    x, y = made(n=40)
    config = HeadConfig(hidden=(), epochs=4, batch_size=10, learning_rate=0.1)
    rates = [point.learning_rate for point in train(x, y, config).curve]
    assert rates == pytest.approx([0.05 * (1 + np.cos(np.pi * k / 4)) for k in range(4)])


def noisy(n, seed):
    """One component tells a little, forty say nothing: easily learned by heart."""
    rng = np.random.default_rng(seed)
    y = np.arange(n, dtype=np.int8) % 2
    x = rng.standard_normal((n, 41)).astype(np.float32)
    x[:, 0] += 0.8 * y
    return x, y


def test_training_stops_and_the_best_epochs_weights_come_back():
    x, y = noisy(60, 0)
    held, target = noisy(400, 1)
    config = HeadConfig(
        hidden=(64,),
        epochs=60,
        least_steps=1,
        patience=4,
        batch_size=20,
        learning_rate=0.01,
        min_delta=0,
    )
    trained = train(x, y, config, 0, (held, target))
    assert len(trained.curve) == trained.best + 4 < 60
    kept = trained.curve[trained.best - 1]
    assert kept.validation_ap == max(point.validation_ap for point in trained.curve)
    p = trained.head.probabilities(held)
    assert average_precision_score(target, p) == pytest.approx(kept.validation_ap, abs=1e-12)
    nll = -np.log(np.where(target == 1, p, 1 - p)).mean()
    assert nll == pytest.approx(kept.validation_loss, abs=1e-12)
    stubborn = train(x, y, config.model_copy(update={"patience": None}), 0, (held, target))
    assert (len(stubborn.curve), stubborn.best) == (60, 60)
    assert stubborn.curve[: len(trained.curve)] == trained.curve
    last = average_precision_score(target, stubborn.head.probabilities(held))
    assert last == pytest.approx(stubborn.curve[-1].validation_ap, abs=1e-12)


def best_of(*points, patience=10, min_delta=0.01):
    keeper, head = Keeper(patience, min_delta), torch.nn.Linear(1, 1)
    stopped = [
        keeper.enough(Epoch(number, 0.1, 1.0, loss, ap), head)
        for number, (ap, loss) in enumerate(points, 1)
    ]
    return keeper.best.epoch, stopped.index(True) + 1 if True in stopped else None


def test_average_precision_decides_and_below_min_delta_the_loss():
    assert best_of((0.8, 0.5), (0.9, 0.6), (0.85, 0.4)) == (2, None)  # a better ranking
    assert best_of((0.975, 0.5), (0.97, 0.3), (0.968, 0.4)) == (2, None)  # the same ranking
    assert best_of((0.975, 0.5), (0.97, 0.3), (0.964, 0.2)) == (2, None)  # 0.011 below the top
    assert best_of((0.975, 0.5), (0.97, 0.3), min_delta=0) == (1, None)
    assert best_of((1.0, 0.5), (1.0, 0.4), (1.0, 0.45), (1.0, 0.41), patience=2) == (2, 4)


def test_balanced_classes_weigh_the_same():
    y = np.array([0, 0, 0, 1], np.int8)
    assert class_weights(y).tolist() == pytest.approx([4 / 6, 2.0])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 2)).astype(np.float32)  # says nothing
    y = (np.arange(300) % 10 > 0).astype(np.int8)  # nine fakes a real
    config = HeadConfig(hidden=(), epochs=30, batch_size=50, learning_rate=0.1)
    plain = train(x, y, config).head.probabilities(x).mean()
    weighted = config.model_copy(update={"class_weights": "balanced"})
    assert plain == pytest.approx(0.9, abs=0.02)
    trained = train(x, y, weighted, 0, (x, y))
    p = trained.head.probabilities(x)
    assert p.mean() == pytest.approx(0.5, abs=0.04)
    each = [-np.log(p[y == 1]).mean(), -np.log(1 - p[y == 0]).mean()]
    held = trained.curve[trained.best - 1].validation_loss
    assert held == pytest.approx(np.mean(each), abs=1e-6)


def test_the_weight_decay_is_chosen_on_validation(monkeypatch):
    """A decay without meaning to the loss changes nothing, one that forbids any weight does."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 40)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int8)
    config = HeadConfig(hidden=(), epochs=5, batch_size=20, learning_rate=0.05)
    held = (x[300:], y[300:])
    monkeypatch.setattr(training, "WEIGHT_DECAYS", (0.0, 1.0, 20.0))
    found = train(x[:60], y[:60], config, 3, held)
    each = {
        decay: train(x[:60], y[:60], config.model_copy(update={"weight_decay": decay}), 3, held)
        for decay in training.WEIGHT_DECAYS
    }
    points = {decay: one.curve[one.best - 1] for decay, one in each.items()}
    top = max(point.validation_ap for point in points.values())
    near = {d: p for d, p in points.items() if p.validation_ap >= top - config.min_delta}
    best = min(near, key=lambda decay: near[decay].validation_loss)
    assert found.weight_decay == best
    assert found.curve == each[best].curve
    assert len({point.validation_loss for point in points.values()}) == 3
    assert train(x[:60], y[:60], config).weight_decay == 0.0  # nothing to choose on


def test_an_epoch_of_few_rows_goes_over_them_several_times():
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], 10)
    x = (rng.standard_normal((20, 3)) + y[:, None]).astype(np.float32)
    common = {"hidden": (4,), "batch_size": 10, "patience": None, "weight_decay": 0.0}
    few = train(x, y, HeadConfig(epochs=2, least_steps=5, **common))  # three times two batches
    many = train(x, y, HeadConfig(epochs=6, least_steps=1, **common))
    assert (len(few.curve), len(many.curve)) == (2, 6)
    for name, weights in many.head.state_dict().items():
        assert torch.equal(few.head.state_dict()[name], weights), name
    losses = [point.train_loss for point in many.curve]
    assert few.curve[0].train_loss == pytest.approx(sum(losses[:3]) / 3)
    assert few.curve[1].learning_rate == pytest.approx(many.curve[3].learning_rate)
