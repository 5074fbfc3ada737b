"""Our figures against an independent reading of UnivFD's protocol, on the saved predictions.

Its `validate.py` scores the real images of a set and then the fake ones, one list after the other,
and takes scikit-learn's average precision over both and accuracies at 0.5: of all, of the real and
of the fake. It calls fake what is above 0.5, and we what is not below it; the two differ for a
probability of exactly 0.5 alone, and none is.
"""

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from pipeline.dag.experiment import Experiment
from pipeline.head.run import run_experiment


def univfd(reals, fakes):
    y_true = np.array([0] * len(reals) + [1] * len(fakes))
    y_pred = np.concatenate([reals, fakes])
    return {
        "ap": average_precision_score(y_true, y_pred),
        "tnr": accuracy_score(y_true[y_true == 0], y_pred[y_true == 0] > 0.5),
        "tpr": accuracy_score(y_true[y_true == 1], y_pred[y_true == 1] > 0.5),
        "accuracy": accuracy_score(y_true, y_pred > 0.5),
    }


def test_figures_are_those_of_univfds_protocol(content, store, tmp_path):
    made = content(shift=1.0, num=30)
    for row, label in enumerate(made.listing["label"]):
        if made.listing["generator"][row] == "vae" and row % 3 == 0 and label == 0:
            made.listing["label"][row] = None  # not as many reals as fakes
    experiment = Experiment(
        train="generator = 'gan' and split = 'train'",
        test="split = 'test' and generator <> 'gan'",
        head={
            "hidden": [8],
            "epochs": 5,
            "least_steps": 1,
            "batch_size": 16,
            "learning_rate": 0.01,
        },
        bootstrap=0,
    )
    result = run_experiment(store(made), experiment, "cross", tmp_path, {})
    rows = pq.read_table(result.folder / "predictions.parquet").to_pylist()
    assert all(row["probability"] != 0.5 for row in rows)
    checked = 0
    for line in pq.read_table(result.folder / "metrics.parquet").to_pylist():
        generators = [line["generator"]] if line["scope"] == "generator" else ["flow", "vae"]
        found = []
        for generator in generators:
            own = [
                [
                    row["probability"]
                    for row in rows
                    if (row["method"], row["generator"], row["label"])
                    == (line["method"], generator, label)
                ]
                for label in (0, 1)
            ]
            found.append(univfd(*own))
            y = [0] * len(own[0]) + [1] * len(own[1])
            found[-1]["auroc"] = roc_auc_score(y, np.concatenate(own))
        for name in found[0]:  # a mean is over sets, as UnivFD's tables have it
            expected = np.mean([one[name] for one in found])
            assert line[name] == pytest.approx(expected, abs=1e-9), (line["method"], name)
            checked += 1
    assert checked == 11 * 3 * 5
