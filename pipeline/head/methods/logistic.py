"""Logistic regression over blocks of rows, for what does not fit in memory."""

import numpy as np
import torch
from scipy.optimize import minimize

from pipeline.head.vectors.row_reader import Source, moments

_OPTIONS = {"maxiter": 1000, "maxls": 50, "gtol": 1e-5, "ftol": 64 * np.finfo(float).eps}


def logistic_over_blocks(
    source: Source, y: np.ndarray, c: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Weight and mean float32 [width], and bias, of the logit (x - mean) @ weight + bias.

    The problem of scikit-learn's `LogisticRegression` on standardised columns, of the same penalty
    (L2; `c`: how little the weights are held back), and its solver (L-BFGS): only sums are taken
    block by block, as exactly as float32 allows. `y` [n]: 0 real, 1 fake. Nothing is random.
    """
    mean, std = moments(source)
    scale = torch.where(std > 0, 1 / std, 0.0)
    target = torch.from_numpy(y.astype(np.float32))
    count = len(source)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean loss with its penalty, and its gradient by weights and bias."""
        weight = torch.from_numpy(at[:-1]).float() * scale
        bias = float(at[-1] - (weight.double() @ mean.double()))
        total, pull, pulls = 0.0, torch.zeros(source.width, dtype=torch.float64), 0.0
        start = 0
        for block in source.blocks():
            logit, own = block @ weight + bias, target[start : start + len(block)]
            # softplus(z) - y z
            each = torch.nn.functional.softplus(logit.double()) - own * logit.double()
            wrong = torch.sigmoid(logit) - own
            total += float(each.sum())
            pull += (wrong @ block).double()
            pulls += float(wrong.double().sum())
            start += len(block)
        slope = (pull - pulls * mean.double()) * scale.double() / count
        penalty = at[:-1] / (c * count)
        value = total / count + 0.5 * float(at[:-1] @ penalty)
        return value, np.append(slope.numpy() + penalty, pulls / count)

    found = minimize(
        loss, np.zeros(source.width + 1), jac=True, method="L-BFGS-B", options=_OPTIONS
    ).x
    return torch.from_numpy(found[:-1]).float() * scale, mean, float(found[-1])
