"""The field's metrics of one group of test images, through scikit-learn where it has them."""

import numpy as np

from pipeline.head.figures.choose import Choice, scaled

NAMES = (
    *("ap", "chance", "prevalence", "auroc", "fpr95"),
    *("accuracy", "balanced_accuracy", "tnr", "tpr", "nll", "ece"),
)
# the same with what was chosen on validation images: threshold, temperature, unsure band
AT_THRESHOLD = ("accuracy", "balanced_accuracy", "tnr", "tpr")
CHOSEN = (
    *(f"{name}_at_threshold" for name in AT_THRESHOLD),
    *("nll_scaled", "ece_scaled", "share_unsure", "accuracy_sure"),
)
BINS = 15  # of the calibration error, as in Guo et al., On Calibration (ICML 2017)


def metrics(label: np.ndarray, probability: np.ndarray) -> dict[str, float | int | None]:
    """AP, AUROC, accuracies at 0.5, and how far the probabilities can be believed; and the counts.

    `label` [n]: 0 real, 1 fake. `probability` float64 [n]: of fake; 0.5 itself counts as fake.
    `chance` is the AP of guessing (`chance_ap`), `prevalence` the share of fakes; `fpr95` the share
    of reals called fake where at least 95 % of the fakes are. `tnr` is the accuracy on reals, `tpr`
    on fakes, `balanced_accuracy` their mean. `nll`: mean negative log-likelihood, in nats. `ece`:
    see `calibration_error`. A metric that a group without reals or without fakes does not have is
    None.
    """
    # here, so that showing a run that is already there does not wait for scikit-learn
    from sklearn.metrics import average_precision_score, roc_auc_score

    fake = label == 1
    both = bool(fake.any() and (~fake).any())
    return {
        "ap": float(average_precision_score(label, probability)) if both else None,
        "chance": chance_ap(len(label), int(fake.sum())) if both else None,
        "prevalence": float(fake.mean()) if both else None,
        "auroc": float(roc_auc_score(label, probability)) if both else None,
        "fpr95": _fpr95(probability[~fake], probability[fake]) if both else None,
        **accuracies(label, probability, 0.5),
        "nll": log_loss(label, probability),
        "ece": calibration_error(label, probability),
        "n": len(label),
        "num_real": int((~fake).sum()),
        "num_fake": int(fake.sum()),
    }


def chance_ap(images: int, fakes: int) -> float:
    """The AP that a ranking by lot has on average, of so many images with so many fakes.

    It is the share of fakes only of many images; of few it is above, by (1 - share) H_n / n. At
    rank i of n a fake has (i - 1) (fakes - 1) / (n - 1) others before it; H_n sums up 1 / i.
    """
    from scipy.special import digamma

    harmonic = float(digamma(images + 1) + np.euler_gamma)
    return (harmonic + (fakes - 1) / (images - 1) * (images - harmonic)) / images


def accuracies(
    label: np.ndarray, probability: np.ndarray, threshold: float
) -> dict[str, float | None]:
    """`AT_THRESHOLD`, by name: shares of right verdicts, fake being from the threshold on."""
    fake = label == 1
    right = (probability >= threshold) == fake
    both = bool(fake.any() and (~fake).any())
    return {
        "accuracy": _mean(right),
        "balanced_accuracy": float(right[~fake].mean() + right[fake].mean()) / 2 if both else None,
        "tnr": _mean(right[~fake]),
        "tpr": _mean(right[fake]),
    }


def chosen_metrics(
    label: np.ndarray, probability: np.ndarray, choice: Choice
) -> dict[str, float | None]:
    """`CHOSEN`, by name: what a method does with the choices made on its validation images.

    Accuracies at `threshold`; `nll_scaled` and `ece_scaled` of the probabilities at `temperature`;
    `share_unsure` of all images lies in the unsure band, and `accuracy_sure` is the share of right
    verdicts among the others (None when there are none).
    """
    calibrated = scaled(probability, choice.temperature)
    fake = np.zeros(len(label), bool)
    real = np.zeros(len(label), bool)
    if choice.unsure_high is not None:
        fake = probability >= choice.unsure_high
    if choice.unsure_low is not None:
        real = probability < choice.unsure_low
    sure = fake | real
    at_threshold = accuracies(label, probability, choice.threshold)
    return {
        **{f"{name}_at_threshold": value for name, value in at_threshold.items()},
        "nll_scaled": log_loss(label, calibrated),
        "ece_scaled": calibration_error(label, calibrated),
        "share_unsure": float(1 - sure.mean()),
        "accuracy_sure": _mean(fake[sure] == (label[sure] == 1)),
    }


def log_loss(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean of -ln(probability of the true label), in nats.

    Probabilities are clipped to float64's resolution from 0 and 1, as scikit-learn's `log_loss`
    clips them: a head that is certain and wrong costs 36 nats, not infinitely many.
    """
    eps = np.finfo(np.float64).eps
    p = np.clip(probability, eps, 1 - eps)
    return float(-np.log(np.where(label == 1, p, 1 - p)).mean())


def calibration_error(label: np.ndarray, probability: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of the probability of fake.

    Bin k of `bins` equal ones holds k/bins <= probability < (k+1)/bins, and the last one 1 too. The
    error is the mean over images of |share of fakes - mean probability| of an image's bin. (Not the
    variant that bins the confidence max(p, 1 - p): there, errors on reals and on fakes can cancel.)
    """
    which = np.minimum((probability * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(which, label == 1, bins) - np.bincount(which, probability, bins)
    return float(np.abs(gaps).sum() / len(label))


def _fpr95(reals: np.ndarray, fakes: np.ndarray) -> float:
    # whole numbers: 0.95 * 20 is a little more than 19
    needed = -(-95 * len(fakes) // 100)
    return float((reals >= np.sort(fakes)[len(fakes) - needed]).mean())


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
