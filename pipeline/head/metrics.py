"""The field's metrics of one group of test images, through scikit-learn."""

import numpy as np

NAMES = ("ap", "auroc", "accuracy", "tnr", "tpr")


def metrics(label: np.ndarray, probability: np.ndarray) -> dict[str, float | int | None]:
    """AP, AUROC, and accuracy, real accuracy (TNR) and fake accuracy (TPR) at 0.5; and the counts.

    `label` [n]: 0 real, 1 fake. `probability` float64 [n]: of fake; 0.5 itself counts as fake. A
    metric that a group without reals or without fakes does not have is None.
    """
    # here, so that showing a run that is already there does not wait for scikit-learn
    from sklearn.metrics import average_precision_score, roc_auc_score

    fake = label == 1
    right = (probability >= 0.5) == fake
    both = bool(fake.any() and (~fake).any())
    return {
        "ap": float(average_precision_score(label, probability)) if both else None,
        "auroc": float(roc_auc_score(label, probability)) if both else None,
        "accuracy": _mean(right),
        "tnr": _mean(right[~fake]),
        "tpr": _mean(right[fake]),
        "n": len(label),
        "num_real": int((~fake).sum()),
        "num_fake": int(fake.sum()),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
