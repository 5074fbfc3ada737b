"""Every method of an experiment, fitted on the training rows; heads are stopped on validation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import UserError
from pipeline.head.baselines import BASELINES
from pipeline.head.experiment import Experiment
from pipeline.head.foreign import apply_linear
from pipeline.head.mlp import Head
from pipeline.head.train import Trained, train

CURVES = pa.schema(
    {
        "method": pa.string(),
        "epoch": pa.int64(),  # from 1
        "learning_rate": pa.float64(),  # at the epoch's start
        "train_loss": pa.float64(),  # nats, mean over the epoch
        "validation_loss": pa.float64(),  # nats, after the epoch
        "validation_ap": pa.float64(),
        "best": pa.bool_(),  # whether the head has this epoch's weights
    }
)


@dataclass(frozen=True)
class Fitted:
    """What fitting gives: the head on all features, and each method's probabilities of fake.

    `validation`, `test`: method -> float64 [rows], in the table's order. `curves`: a row a head
    and epoch.
    """

    head: Head
    curves: pa.Table
    validation: dict[str, np.ndarray]
    test: dict[str, np.ndarray]


def fit(
    x: Mapping[str, np.ndarray],
    y: np.ndarray,
    num_validation: int,
    experiment: Experiment,
    say: Callable[[str], None],
) -> Fitted:
    """Fits every method of the experiment, in the table's order.

    The rows of each matrix of `x` are those of training, then `num_validation` of validation, and
    then the test's; `y` int8 [training + validation] are the labels of the first two. `say` gets a
    line a method that is fitted. Raises UserError as `train` and `apply_linear` do.
    """
    stop = len(y)
    start = stop - num_validation
    trained: dict[str, Trained] = {}
    probabilities: dict[str, np.ndarray] = {}

    def columns(names: tuple[str, ...]) -> np.ndarray:
        return np.concatenate([x[name] for name in names], axis=1)

    def head(method: str, inputs: np.ndarray) -> None:
        say(f"training the head on {method}")
        held = (inputs[start:stop], y[start:])
        try:
            found = train(inputs[:start], y[:start], experiment.head, experiment.seed, held)
        except UserError as error:
            raise UserError(error.what, f"the head on {method}", error.hint) from None
        trained[method] = found
        probabilities[method] = trained[method].head.probabilities(inputs[start:])

    # first, so that a file of another width is said before anything is trained
    foreign = {
        method: apply_linear(path, method, x["raw_image"][start:])
        for method, path in experiment.foreign.items()
    }
    for method, features in experiment.heads.items():
        head(method, columns(features))
        last = method  # the one on all features
    for method, baseline in BASELINES.items():
        inputs = columns(baseline.columns)
        if baseline.fit is None:
            head(method, inputs)
        else:
            say(f"fitting the baseline: {method}")
            predict = baseline.fit(inputs[:start], y[:start], experiment)
            probabilities[method] = predict(inputs[start:])
    probabilities |= foreign
    return Fitted(
        trained[last].head,
        _curves(trained),
        {method: p[:num_validation] for method, p in probabilities.items()},
        {method: p[num_validation:] for method, p in probabilities.items()},
    )


def _curves(trained: Mapping[str, Trained]) -> pa.Table:
    rows = [
        {"method": method, **vars(point), "best": point.epoch == result.best}
        for method, result in trained.items()
        for point in result.curve
    ]
    return pa.Table.from_pylist(rows, CURVES)
