"""Every method of an experiment, fitted on the training rows; heads are stopped on validation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.dag.experiment import Experiment
from pipeline.dag.inputs import baseline
from pipeline.errors import UserError
from pipeline.head.methods.baselines import Fitting, Predict, Side, fitting
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
    fits = _Fits(samples, labels, experiment)
    # first, so that a file of another width is said before anything is trained
    foreign = {method: fits.foreign(method) for method in experiment.foreign}
    # and so are faults of plugins
    for method, names in sorted(experiment.reads.items(), key=lambda one: baseline(one[0]) is None):
        fitted = fitting(method, experiment)
        if method in foreign:
            fits.found[method] = foreign[method]
            fits.heads[method] = Head.linear(*load_linear(experiment.foreign[method]))
        elif fitted is None:
            say(f"training the head on {method}")
            fits.head(method, names)
        else:
            say(f"fitting the baseline: {method}")
            fits.baseline(method, names, fitted)
    found = {method: fits.found[method] for method in experiment.reads}  # in the table's order
    return Fitted(
        fits.heads,
        _curves(fits.trained),
        fits.chosen,
        {method: sides["validation"] for method, sides in found.items()},
        {method: sides["test"] for method, sides in found.items()},
    )


class _Fits:
    """Methods as they are fitted, one after the other; `found`: method -> side -> probabilities."""

    def __init__(self, samples: Samples, labels: Mapping[str, np.ndarray], experiment: Experiment):
        self._samples, self._labels, self._experiment = samples, labels, experiment
        self.trained: dict[str, Trained] = {}
        self.heads: dict[str, Head] = {}
        self.chosen: dict[str, str] = {}
        self.found: dict[str, dict[str, np.ndarray]] = {}

    def foreign(self, method: str) -> dict[str, np.ndarray]:
        """What a head of somebody else says."""
        path = self._experiment.foreign[method]
        return self._predicted(("raw_image",), partial(apply_linear, path, method))

    def head(self, method: str, names: tuple[str, ...]) -> None:
        """Trains the MLP on these matrices, and keeps what it says of the other two sides."""
        rows, held = self._side(names, "train"), self._side(names, "validation")
        config, seed = self._experiment.head, self._experiment.seed
        try:
            trained = train(rows.rows, rows.label, config, seed, (held.rows, held.label))
        except UserError as error:
            raise UserError(error.what, f"the head on {method}", error.hint) from None
        self.trained[method], self.heads[method] = trained, trained.head
        self.found[method] = self._predicted(names, trained.head.probabilities)
        self.chosen[method] = f"epoch {trained.best}"
        if config.weight_decay == "auto":
            self.chosen[method] += f", weight decay {trained.weight_decay:g}"

    def baseline(self, method: str, names: tuple[str, ...], fitted: Fitting) -> None:
        """The same of a baseline."""
        train, held = (self._side(names, side) for side in ("train", "validation"))
        tuned = fitted(train, held, self._experiment)
        self.found[method] = self._predicted(names, tuned.predict)
        if tuned.chosen:
            self.chosen[method] = tuned.chosen
        if tuned.head is not None and "metadata" not in names:
            self.heads[method] = tuned.head

    def _side(self, names: tuple[str, ...], name: str) -> Side:
        rows = self._samples.take(names, name)
        return Side(rows, self._labels[name][rows.order])

    def _predicted(self, names: tuple[str, ...], predict: Predict) -> dict[str, np.ndarray]:
        """Side -> probabilities of its rows."""
        sides = {side: self._samples.take(names, side) for side in ("validation", "test")}
        return {
            side: self._samples.spread(side, rows, predict(rows)) for side, rows in sides.items()
        }


def _curves(trained: Mapping[str, Trained]) -> pa.Table:
    rows = [
        {"method": method, **vars(point), "best": point.epoch == result.best}
        for method, result in trained.items()
        for point in result.curve
    ]
    return pa.Table.from_pylist(rows, CURVES)
