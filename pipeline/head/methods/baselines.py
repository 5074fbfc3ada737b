"""What a head has to beat, from the same cache: simple methods on what is already there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.methods.logistic import logistic_over_blocks
from pipeline.head.methods.neighbours import choose, share_of_fakes
from pipeline.head.vectors.row_reader import InMemory, Source, over_blocks

Predict = Callable[[Source], np.ndarray]


def logistic(source: Source, y: np.ndarray) -> Predict:
    """Logistic regression (L2, C = 1) of y [n] (0, 1) on standardised rows; no randomness.

    scikit-learn's in memory, and the same problem solved over blocks
    (`pipeline.head.methods.logistic`) for what is streamed. Returns the function from other rows to
    the probability of fake, float64 [m].
    """
    if isinstance(source, InMemory):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        with threadpool_limits(limits=1):  # small sums: threads would only wait for each other
            model.fit(source.x.numpy(), y)
        return lambda rows: expit(
            over_blocks(rows, lambda block: model.decision_function(block.numpy()))
        )
    weight, mean, bias = logistic_over_blocks(source, y)
    return lambda rows: expit(over_blocks(rows, lambda block: (block - mean) @ weight + bias))


def nearest_neighbours(
    source: Source, y: np.ndarray, k: int, among: int | None = None, seed: int = 0
) -> Predict:
    """The share of fakes among the k training rows of the least cosine distance.

    `among`: look at so many of the training rows only, drawn by the seed; None: at all. Returns the
    function from other rows to that share, float64 [m]. Raises UserError when there are fewer than
    k training rows.
    """
    count = len(source)
    if among is not None and among < count:
        drawn = np.zeros(count, bool)  # in the side's own order: the same ones however it is read
        drawn[choose(count, among, seed)] = True
        kept = np.flatnonzero(drawn[source.order])
        source, y = InMemory(source.at(kept).numpy()), y[kept]
    if k > len(source):
        raise UserError(
            f"{k:,} neighbours are more than the {len(source):,} training images",
            hint="lower the experiment's `neighbours`",
        )

    def predict(rows: Source) -> np.ndarray:
        return share_of_fakes(source, y, rows, k)

    return predict


@dataclass(frozen=True)
class Baseline:
    """`columns`: the matrices it reads, side by side (names of `matrices.needed`).

    `fit` is None for the experiment's own head, trained and stopped as the others are.
    """

    columns: tuple[str, ...]
    fit: Callable[[Source, np.ndarray, Experiment], Predict] | None


def _logistic(*columns: str) -> Baseline:
    return Baseline(columns, lambda x, y, experiment: logistic(x, y))


# name in the tables (`pipeline.dag.experiment.BASELINES`) -> what it is
BASELINES = {
    # UnivFD: Ojha et al., Towards Universal Fake Image Detectors (CVPR 2023): both of its heads
    "linear probe": _logistic("image_embedding"),
    "k-NN": Baseline(
        ("image_embedding",),
        lambda x, y, experiment: nearest_neighbours(
            x, y, min(experiment.neighbours, len(x)), experiment.neighbours_among, experiment.seed
        ),
    ),
    # De-Fake: Sha et al., DE-FAKE (CCS 2023): an MLP on [image; caption], with our head's settings
    "concat MLP": Baseline(("image_embedding", "caption_embedding"), None),
    # Whether what is shown, and not how it is made, tells fakes apart
    "caption text": _logistic("caption_embedding"),
    # Whether the corpus gives its fakes away by file size, shape or format: no detector at all
    "metadata": _logistic("metadata"),
    # The raw misalignment. Whether fakes align better or worse is learned, never assumed.
    "cosine": _logistic("cosine_global"),
}
