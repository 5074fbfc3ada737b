"""Every method of an experiment, fitted on the training rows; heads are stopped on validation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.methods.baselines import Predict, Side, fitting
from pipeline.head.methods.foreign import apply_linear, load_linear
from pipeline.head.methods.mlp import Head
from pipeline.head.methods.train import Trained, train
from pipeline.head.vectors.sides import Samples

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
    """What fitting gives: heads, and each method's probabilities of fake.

    `heads`: every method that is weights alone, but for `metadata`, whose columns are the formats
    of this corpus's files. `validation`, `test`: method -> float64 [rows], in the table's order.
    `curves`: a row a head and epoch. `chosen`: method -> what it left open and validation decided,
    in words.
    """

    heads: dict[str, Head]
    curves: pa.Table
    chosen: dict[str, str]
    validation: dict[str, np.ndarray]
    test: dict[str, np.ndarray]


def fit(
    samples: Samples,
    labels: Mapping[str, np.ndarray],
    experiment: Experiment,
    say: Callable[[str], None],
) -> Fitted:
    """Fits every method of the experiment, in the table's order.

    `labels`: of the sides `train` and `validation`, int8 [rows]. `say` gets a line a method that is
    fitted. Raises UserError as `train` and `apply_linear` do.
    """
    trained: dict[str, Trained] = {}
    heads: dict[str, Head] = {}
    foreign: dict[str, dict[str, np.ndarray]] = {}
    found: dict[str, dict[str, np.ndarray]] = {}
    chosen: dict[str, str] = {}

    def predicted(names: tuple[str, ...], predict: Predict) -> dict[str, np.ndarray]:
        """Side -> probabilities of its rows."""
        sides = {side: samples.take(names, side) for side in ("validation", "test")}
        return {side: samples.spread(side, rows, predict(rows)) for side, rows in sides.items()}

    def head(method: str, names: tuple[str, ...]) -> None:
        """Trains the MLP on these matrices, and keeps what it says of the other two sides."""
        say(f"training the head on {method}")
        rows, held = samples.take(names, "train"), samples.take(names, "validation")
        y = [labels["train"][rows.order], labels["validation"][held.order]]
        try:
            trained[method] = train(rows, y[0], experiment.head, experiment.seed, (held, y[1]))
        except UserError as error:
            raise UserError(error.what, f"the head on {method}", error.hint) from None
        heads[method] = trained[method].head
        found[method] = predicted(names, heads[method].probabilities)
        chosen[method] = f"epoch {trained[method].best}"
        if experiment.head.weight_decay == "auto":
            chosen[method] += f", weight decay {trained[method].weight_decay:g}"

    def side(names: tuple[str, ...], name: str) -> Side:
        rows = samples.take(names, name)
        return Side(rows, labels[name][rows.order])

    # first, so that a file of another width is said before anything is trained
    for method, path in experiment.foreign.items():
        foreign[method] = predicted(("raw_image",), partial(apply_linear, path, method))
    for method, names in experiment.reads.items():
        fitted = fitting(method, experiment)
        if method in foreign:
            found[method] = foreign[method]
            heads[method] = Head.linear(*load_linear(experiment.foreign[method]))
        elif fitted is None:
            head(method, names)
        else:
            say(f"fitting the baseline: {method}")
            tuned = fitted(side(names, "train"), side(names, "validation"), experiment)
            found[method] = predicted(names, tuned.predict)
            if tuned.chosen:
                chosen[method] = tuned.chosen
            if tuned.head is not None and "metadata" not in names:
                heads[method] = tuned.head
    return Fitted(
        heads,
        _curves(trained),
        chosen,
        {method: sides["validation"] for method, sides in found.items()},
        {method: sides["test"] for method, sides in found.items()},
    )


def _curves(trained: Mapping[str, Trained]) -> pa.Table:
    rows = [
        {"method": method, **vars(point), "best": point.epoch == result.best}
        for method, result in trained.items()
        for point in result.curve
    ]
    return pa.Table.from_pylist(rows, CURVES)
