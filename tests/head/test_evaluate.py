import numpy as np
import pyarrow as pa
import pytest

from pipeline.head.evaluate import by_generator, means, predictions

TEST = pa.table(
    {
        "image_id": pa.array(list("abcdefgh")),
        "label": pa.array([0, 1, 0, 1, 0, 1, 1, 1], pa.int8()),
        "generator": pa.array(["gan", "gan", "vae", "vae", "flow", "flow", None, None]),
        "split": pa.array(["test"] * 8),
    }
)
GOOD = np.array([0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.9, 0.9])
BAD = np.array([0.1, 0.9, 0.9, 0.1, 0.1, 0.4, 0.9, 0.1])


def measured():
    return by_generator(predictions(TEST, {"good": GOOD, "bad": BAD}), {"gan"})


def test_predictions_keep_key_label_and_probability():
    rows = predictions(TEST, {"good": GOOD, "bad": BAD}).to_pylist()
    assert len(rows) == 16
    assert rows[9] == {
        "method": "bad",
        "image_id": "b",
        "generator": "gan",
        "split": "test",
        "label": 1,
        "probability": 0.9,
    }


def test_a_row_a_method_and_generator_seen_ones_first():
    rows = measured().to_pylist()
    assert [(row["method"], row["generator"], row["seen"]) for row in rows] == [
        (method, generator, generator == "gan")
        for method in ("good", "bad")
        for generator in ("gan", None, "flow", "vae")
    ]
    by = {(row["method"], row["generator"]): row for row in rows}
    assert by["bad", "vae"]["auroc"] == 0
    assert by["bad", "flow"]["auroc"] == 1
    assert by["bad", "flow"]["accuracy"] == 0.5
    assert by["bad", None]["ap"] is None
    assert by["bad", None]["tpr"] == 0.5
    assert [row["n"] for row in rows] == [2] * 8


def test_means_are_over_unseen_generators_that_have_the_metric():
    good, bad = means(measured()).to_pylist()
    assert good["method"] == "good"
    assert good["ap"] == good["accuracy"] == 1
    assert bad["auroc"] == 0.5  # flow 1, vae 0; the one without reals has none
    assert bad["accuracy"] == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert (bad["n"], bad["num_real"], bad["generators"]) == (6, 2, 3)


def test_without_unseen_generators_there_are_no_means():
    seen = by_generator(predictions(TEST, {"good": GOOD}), {"gan", "vae", "flow", None})
    assert means(seen).num_rows == 0
