"""What a head has to beat, from the same cache: logistic regressions on what is already there."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

Predict = Callable[[np.ndarray], np.ndarray]

# name in the tables -> the columns it reads (names of `pipeline.head.data.gather`)
BASELINES = {
    # UnivFD: Ojha et al., Towards Universal Fake Image Detectors (CVPR 2023)
    "linear probe": ("image_embedding",),
    # The raw misalignment. Whether fakes align better or worse is learned, never assumed.
    "cosine": ("cosine_global",),
}


def logistic(x: np.ndarray, y: np.ndarray) -> Predict:
    """Logistic regression (L2, C = 1) of y [n] (0, 1) on standardised x [n, d]; no randomness.

    Returns the function from x [m, d] to the probability of fake, float64 [m].
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with threadpool_limits(limits=1):  # small sums: threads would only wait for each other
        model.fit(x, y)
    return lambda x: expit(model.decision_function(x).astype(np.float64))
