"""What a head has to beat, from the same cache: simple methods on what is already there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from pipeline.errors import UserError
from pipeline.head.experiment import Experiment

Predict = Callable[[np.ndarray], np.ndarray]


def logistic(x: np.ndarray, y: np.ndarray) -> Predict:
    """Logistic regression (L2, C = 1) of y [n] (0, 1) on standardised x [n, d]; no randomness.

    Returns the function from x [m, d] to the probability of fake, float64 [m].
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with threadpool_limits(limits=1):  # small sums: threads would only wait for each other
        model.fit(x, y)
    return lambda x: expit(model.decision_function(x).astype(np.float64))


def nearest_neighbours(x: np.ndarray, y: np.ndarray, k: int) -> Predict:
    """The share of fakes among the k training rows of the least cosine distance; no randomness.

    Returns the function from x [m, d] to that share, float64 [m]. Raises UserError when there are
    fewer than k training rows.
    """
    if k > len(x):
        raise UserError(
            f"{k:,} neighbours are more than the {len(x):,} training images",
            hint="lower the experiment's `neighbours`",
        )
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(x, y)

    def predict(x: np.ndarray) -> np.ndarray:
        with threadpool_limits(limits=1):
            return model.predict_proba(x)[:, 1].astype(np.float64)

    return predict


@dataclass(frozen=True)
class Baseline:
    """`columns`: the matrices it reads, side by side (names of `data.gather`, `gather_beside`).

    `fit` is None for the experiment's own head, trained and stopped as the others are.
    """

    columns: tuple[str, ...]
    fit: Callable[[np.ndarray, np.ndarray, Experiment], Predict] | None


def _logistic(*columns: str) -> Baseline:
    return Baseline(columns, lambda x, y, experiment: logistic(x, y))


# name in the tables (`pipeline.head.experiment.BASELINES`) -> what it is
BASELINES = {
    # UnivFD: Ojha et al., Towards Universal Fake Image Detectors (CVPR 2023): both of its heads
    "linear probe": _logistic("image_embedding"),
    "k-NN": Baseline(
        ("image_embedding",),
        lambda x, y, experiment: nearest_neighbours(x, y, min(experiment.neighbours, len(x))),
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
