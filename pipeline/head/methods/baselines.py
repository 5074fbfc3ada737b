"""What a head has to beat: simple methods on what the cache has, at their best.

What a baseline leaves open, how little its weights are held back or how many neighbours vote, is
chosen on the validation images, as the epoch of a head is: a reference that nobody tuned is easily
beaten.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

from pipeline.dag.experiment import Experiment
from pipeline.dag.inputs import baseline
from pipeline.errors import UserError, worded
from pipeline.head.methods.logistic import logistic_over_blocks
from pipeline.head.methods.mlp import Head
from pipeline.head.methods.neighbours import choose, share_of_fakes
from pipeline.head.vectors.row_reader import InMemory, Source, over_blocks
from pipeline.plugins import offered
from pipeline.plugins.kinds import Baseline

Predict = Callable[[Source], np.ndarray]

# how little a logistic regression's weights are held back, and how many neighbours vote
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
NEIGHBOURS = (3, 9, 27, 81)
# of the gradient; with scikit-learn's own, 1e-4, weights that are hardly held back are half way
TOLERANCE = 1e-7


@dataclass(frozen=True)
class Side:
    """Rows of images and their labels [n]: 0 real, 1 fake."""

    rows: Source
    label: np.ndarray


@dataclass(frozen=True)
class Tuned:
    """A fitted baseline: from rows to the probability of fake, float64 [m]; what was chosen."""

    predict: Predict
    chosen: str
    head: Head | None = None  # the same as weights alone, where they are all that it takes


Fitting = Callable[[Side, Side, Experiment], Tuned]


def logistic(train: Side, validation: Side) -> Tuned:
    """Logistic regression (L2) on standardised rows, of the strength of the least validation loss.

    `STRENGTHS` are tried. scikit-learn's in memory, and the same problem solved over blocks
    (`pipeline.head.methods.logistic`) for what is streamed. Nothing is random.
    """
    found = _in_memory(train) if isinstance(train.rows, InMemory) else _over_blocks(train)
    losses = {
        c: log_loss(validation.label, predict(validation.rows), labels=[0, 1])
        for c, (predict, _) in found.items()
    }
    best = min(losses, key=losses.__getitem__)
    return Tuned(found[best][0], f"C = {best:g}", found[best][1])


@lru_cache
def _libraries() -> ThreadpoolController:
    """What has threads of its own in this process: to look takes longer than a small fit."""
    return ThreadpoolController()


def _in_memory(train: Side) -> dict[float, tuple[Predict, Head]]:
    scaler = StandardScaler().fit(train.rows.x.numpy())
    x = train.rows.x.numpy().astype(np.float64)  # float32 sums are too coarse for TOLERANCE
    x -= scaler.mean_
    x /= scaler.scale_

    def fit(c: float) -> tuple[Predict, Head]:
        """scikit-learn's, of one strength."""
        model = LogisticRegression(C=c, max_iter=10_000, tol=TOLERANCE).fit(x, train.label)

        def logits(block: torch.Tensor) -> np.ndarray:
            """float64 [rows]."""
            return model.decision_function(scaler.transform(block.numpy()))

        standard = (1 / scaler.scale_, -scaler.mean_ / scaler.scale_)
        head = Head.linear(model.coef_[0], float(model.intercept_[0]), *standard)
        return lambda rows: expit(over_blocks(rows, logits)), head

    with _libraries().limit(limits=1):  # small sums: threads would only wait for each other
        return {c: fit(c) for c in STRENGTHS}


def _over_blocks(train: Side) -> dict[float, tuple[Predict, Head]]:
    def fit(c: float) -> tuple[Predict, Head]:
        """The same problem over blocks, of one strength."""
        weight, mean, bias = logistic_over_blocks(train.rows, train.label, c)

        def predict(rows: Source) -> np.ndarray:
            return expit(over_blocks(rows, lambda block: (block - mean) @ weight + bias))

        return predict, Head.linear(weight, bias, shift=-mean)

    return {c: fit(c) for c in STRENGTHS}


def nearest_neighbours(train: Side, validation: Side, experiment: Experiment) -> Tuned:
    """The share of fakes among the k training rows of the least cosine distance.

    k is what the experiment says, or the one of `NEIGHBOURS` of the best validation AP, the largest
    of several; of fewer training rows all vote. With `neighbours_among` it looks at so many of the
    training rows only, drawn by the seed.
    """
    source, y = train.rows, train.label
    count, among = len(source), experiment.neighbours_among
    if among is not None and among < count:
        drawn = np.zeros(count, bool)  # in the side's own order: the same ones however it is read
        drawn[choose(count, among, experiment.seed)] = True
        kept = np.flatnonzero(drawn[source.order])
        source, y = InMemory(source.at(kept).numpy()), y[kept]
    k = experiment.neighbours
    if k == "auto":
        numbers = [k for k in NEIGHBOURS if k <= len(source)] or [len(source)]
        shares = share_of_fakes(source, y, validation.rows, numbers)
        aps = {k: average_precision_score(validation.label, p) for k, p in shares.items()}
        k = max(numbers, key=lambda k: (round(aps[k], 12), k))
    number = min(k, len(source))
    return Tuned(lambda rows: share_of_fakes(source, y, rows, [number])[number], f"k = {number}")


def _logistic(train: Side, validation: Side, experiment: Experiment) -> Tuned:
    return logistic(train, validation)


def plugged(own: Baseline) -> Fitting:
    """How a plugin's baseline is fitted, to rows that are in memory."""

    def fit(train: Side, validation: Side, experiment: Experiment) -> Tuned:
        """UserError for what the plugin raises, and for rows that are streamed."""
        x, held = _array(train, own), _array(validation, own)
        with _as_user_error(own):
            predict = own.fit(x, train.label, held, validation.label, experiment.seed)

        def probabilities(block: torch.Tensor) -> np.ndarray:
            with _as_user_error(own):
                p = np.asarray(predict(block.numpy()), np.float64)
                if p.shape != (len(block),) or not ((p >= 0) & (p <= 1)).all():
                    raise ValueError(f"not {len(block)} probabilities, from 0 to 1")
            return p

        return Tuned(lambda rows: over_blocks(rows, probabilities), "")

    return fit


def _array(side: Side, own: Baseline) -> np.ndarray:
    if not isinstance(side.rows, InMemory):
        raise UserError(
            f"the baseline '{own.name}' needs all its rows in memory, and they do not fit",
            hint="give `item train` more --memory, or leave it out of `baselines`",
        )
    return side.rows.x.numpy()


@contextmanager
def _as_user_error(own: Baseline) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a user's code raises anything
        what = f"the baseline '{own.name}' failed: {worded(error)}"
        raise UserError(what, offered.place_of(error), "mend it, or leave it out") from error


# name in the tables -> how it is fitted to what `pipeline.dag.inputs.BASELINES` says that it reads;
# None: an MLP, trained and stopped as the experiment's own heads are
BASELINES: dict[str, Fitting | None] = {
    # UnivFD: Ojha et al., Towards Universal Fake Image Detectors (CVPR 2023): both of its heads
    "linear probe": _logistic,
    "k-NN": nearest_neighbours,
    # Whether a gain is the features' or the MLP's
    "linear head": _logistic,
    # Whether it is the misalignment's, or that of two embeddings beside each other
    "pair probe": _logistic,
    # De-Fake: Sha et al., DE-FAKE (CCS 2023): an MLP on [image; caption], with our head's settings
    "concat MLP": None,
    # Whether what is shown, and not how it is made, tells fakes apart
    "caption text": _logistic,
    # Whether the corpus gives its fakes away by file size, shape or format: no detector at all
    "metadata": _logistic,
    # The raw misalignment. Whether fakes align better or worse is learned, never assumed.
    "cosine": _logistic,
}


def fitting(method: str, experiment: Experiment) -> Fitting | None:
    """How a method is fitted; None: as the experiment's own heads are."""
    if method in experiment.probed:
        return _logistic
    own = baseline(method) if method in experiment.baselines else None
    return plugged(own) if own else BASELINES.get(method)
