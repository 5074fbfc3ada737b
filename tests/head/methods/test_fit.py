import numpy as np
import pytest

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.methods.baselines import Side, logistic
from pipeline.head.methods.fit import CURVES, fit
from pipeline.head.methods.train import train
from pipeline.head.vectors.row_reader import InMemory
from pipeline.head.vectors.sides import Held

WIDTHS = {"global": 3, "local": 2, "image": 4, "text": 2}
EXPERIMENT = Experiment(
    train="true",
    head={"hidden": [5], "epochs": 3, "least_steps": 1, "batch_size": 8, "learning_rate": 0.01},
    seed=4,
)
TRAIN, HELD, TEST = slice(0, 40), slice(40, 60), slice(60, 75)


@pytest.fixture
def made():
    """Matrices of 75 images and their labels."""
    rng = np.random.default_rng(3)
    y = (np.arange(75) % 2).astype(np.int8)
    widths = {**WIDTHS, "metadata": 2, "cosine_global": 1}
    x = {name: rng.standard_normal((75, width)) + y[:, None] for name, width in widths.items()}
    return {name: matrix.astype(np.float32) for name, matrix in x.items()}, y


def fitted_on(x, y, say=lambda line: None):
    counts = {"train": 40, "validation": 20, "test": 15}
    rows = {side: np.arange(count) for side, count in counts.items()}
    labels = {"train": y[TRAIN], "validation": y[HELD]}
    return fit(Held(x, counts, rows), labels, EXPERIMENT, say)


def test_heads_are_trained_on_training_and_stopped_on_validation_rows(made):
    x, y = made
    fitted = fitted_on(x, y)
    assert tuple(fitted.test) == tuple(fitted.validation) == EXPERIMENT.methods
    inputs = {
        "global": ("global",),
        "global+local": ("global", "local"),
        "concat MLP": ("image", "text"),
    }
    for method, columns in inputs.items():
        own = np.concatenate([x[name] for name in columns], axis=1)
        held = (own[HELD], y[HELD])
        expected = train(own[TRAIN], y[TRAIN], EXPERIMENT.head, 4, held)
        for side, rows in ((fitted.validation, HELD), (fitted.test, TEST)):
            assert np.allclose(side[method], expected.head.probabilities(own[rows]), atol=1e-7)
        points = [row for row in fitted.curves.to_pylist() if row["method"] == method]
        for row, point in zip(points, expected.curve, strict=True):
            assert row == {"method": method, **vars(point), "best": point.epoch == expected.best}
    assert fitted.heads["global+local"].width == 5
    assert fitted.curves.schema.equals(CURVES)


def test_baselines_see_training_rows_only(made):
    x, y = made
    fitted = fitted_on(x, y)
    train, held = (Side(InMemory(x["cosine_global"][some]), y[some]) for some in (TRAIN, HELD))
    expected = logistic(train, held)
    for found, rows in ((fitted.test, TEST), (fitted.validation, HELD)):
        own = expected.predict(InMemory(x["cosine_global"][rows]))
        assert np.array_equal(found["cosine"], own)
    assert fitted.chosen["cosine"] == expected.chosen
    assert fitted.chosen.keys() == set(EXPERIMENT.methods)
    assert fitted.chosen["global"].startswith("epoch ")


def test_the_linear_head_reads_what_the_head_reads(made):
    x, y = made
    both = np.concatenate([x["global"], x["local"]], axis=1)
    sides = [Side(InMemory(both[some]), y[some]) for some in (TRAIN, HELD)]
    own = logistic(*sides).predict(InMemory(both[TEST]))
    assert np.array_equal(fitted_on(x, y).test["linear head"], own)


def test_a_training_that_fails_names_its_head(made):
    x, y = made
    x["local"][3] = np.nan
    with pytest.raises(UserError, match="loss became nan in epoch 1 of 3") as error:
        fitted_on(x, y)
    assert error.value.where == "the head on local"


def test_a_line_is_said_of_each_method(made):
    lines = []
    fitted_on(*made, lines.append)
    assert len(lines) == len(EXPERIMENT.methods)
    assert lines[0] == "training the head on global"
    assert lines[-1] == "fitting the baseline: cosine"
