from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from pipeline.head.figures.bootstrap import OneGenerator, interval, resample
from pipeline.head.figures.choose import Choice
from pipeline.head.figures.evaluate import CHOICES, DIFFERENCES, measure, predictions, split
from pipeline.head.figures.metrics import CHOSEN, chosen_metrics
from pipeline.head.figures.populations import populations

TEST = pa.table(
    {
        "image_id": pa.array(list("abcdefgh")),
        "variant": pa.array(["clean"] * 8),
        "label": pa.array([0, 1, 0, 1, 0, 1, 1, 1], pa.int8()),
        "generator": pa.array(["gan", "gan", "vae", "vae", "flow", "flow", None, None]),
        "split": pa.array(["test"] * 8),
    }
)
GOOD = np.array([0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.9, 0.9])
BAD = np.array([0.1, 0.9, 0.9, 0.1, 0.1, 0.4, 0.9, 0.1])
BOTH = {"good": GOOD, "bad": BAD}


def noisy(n=60):
    """Three generators of n images each, half of them fakes; two methods, one better."""
    rng = np.random.default_rng(0)
    label = np.tile(np.arange(n) % 2, 3)
    generator, variant = np.repeat(["gan", "vae", "flow"], n), np.repeat(["clean"], 3 * n)
    ids = [f"{row:03}" for row in range(3 * n)]
    columns = {"image_id": ids, "label": label, "generator": generator, "variant": variant}
    test = pa.table(columns)
    scores = {f"by {shift}": shift * label + rng.standard_normal(3 * n) for shift in (0.5, 2)}
    return test, {name: 1 / (1 + np.exp(-score)) for name, score in scores.items()}


def test_predictions_keep_key_label_and_probability():
    rows = predictions(TEST, BOTH).to_pylist()
    assert len(rows) == 16
    assert rows[9] == {
        "method": "bad",
        "image_id": "b",
        "variant": "clean",
        "generator": "gan",
        "split": "test",
        "label": 1,
        "probability": 0.9,
    }


def test_a_row_a_method_and_generator_seen_ones_first():
    rows = split(measure(TEST, BOTH, {"gan"})[0])[0].to_pylist()
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
    assert {(row["scope"], row["generators"]) for row in rows} == {("generator", 1)}


def test_means_are_over_unseen_generators_that_have_the_metric():
    good, bad = split(measure(TEST, BOTH, {"gan"})[0])[1].to_pylist()
    assert (good["method"], good["scope"], good["generator"]) == ("good", "mean", None)
    assert good["ap"] == good["accuracy"] == 1
    assert bad["auroc"] == 0.5  # flow 1, vae 0; the one without reals has none
    # an accuracy on fakes alone is none of reals and fakes
    assert bad["accuracy"] == pytest.approx((0.5 + 0) / 2)
    assert (bad["n"], bad["num_real"], bad["generators"]) == (4, 2, 2)


def test_without_unseen_generators_there_are_no_means():
    rows, means = split(measure(TEST, {"good": GOOD}, {"gan", "vae", "flow", None}, resamples=5)[0])
    assert (rows.num_rows, means.num_rows) == (4, 0)


def test_intervals_are_those_of_the_resamples_and_the_means_of_their_mean():
    test, scores = noisy()
    rows, means = split(measure(test, scores, {"gan"}, resamples=200, seed=7)[0])
    label = test["label"].to_numpy()[:60]
    stacked = np.stack(list(scores.values()))
    own = np.arange(60)
    tested = [
        OneGenerator(label, stacked[:, rows], populations(own, label, {name: own}, 7)[name])
        for name, rows in (("vae", slice(60, 120)), ("flow", slice(120, 180)))
    ]
    vae, flow = resample(tested, 200)
    by = {(row["method"], row["generator"]): row for row in rows.to_pylist()}
    for name in ("ap", "accuracy"):
        row = by["by 2", "flow"]
        ends = interval(about(flow, name, row[name]))
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(ends, abs=1e-15)
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        mean = means.to_pylist()[1]
        both = about(vae, name, by["by 2", "vae"][name]), about(flow, name, row[name])
        expected = interval(sum(both) / 2)
        assert (mean[f"{name}_low"], mean[f"{name}_high"]) == pytest.approx(expected, abs=1e-15)
    spread = [by["by 2", name]["ap_high"] - by["by 2", name]["ap_low"] for name in ("vae", "flow")]
    assert mean["ap_high"] - mean["ap_low"] < min(spread)  # of more images


def about(samples, name, value):
    """Resampled values of the second method; APs about the one found, which they are above."""
    drawn = samples[name][1]
    return np.clip(drawn - drawn.mean() + value, 0, 1) if name == "ap" else drawn


def test_aps_of_resamples_are_about_the_one_found():
    """In few images resamples, which have some twice, have APs above it, most so near chance."""
    rng = np.random.default_rng(3)
    label = np.tile([0, 1], 20)
    rows = {"image_id": [str(n) for n in range(40)], "label": label, "generator": ["g"] * 40}
    test = pa.table({**rows, "variant": ["clean"] * 40})
    tilts = []
    for number in range(40):
        found, _ = measure(test, {"m": rng.random(40)}, set(), resamples=200, seed=number)
        row = found.to_pylist()[0]
        assert row["ap_low"] < row["ap"] < row["ap_high"]
        tilts.append((row["ap_low"] + row["ap_high"]) / 2 - row["ap"])
    assert abs(np.mean(tilts)) < 0.02  # the bare resamples' is 0.04


def test_differences_are_paired_and_from_each_method_compared_to():
    test, scores = noisy()
    scores["again"] = scores["by 0.5"].copy()
    measured, table = measure(test, scores, {"gan"}, ("by 0.5", "by 2"), resamples=200)
    assert table.schema.equals(DIFFERENCES)
    rows = table.to_pylist()
    cells = [("generator", "gan", 1), ("generator", "flow", 1), ("generator", "vae", 1)]
    cells.append(("mean", None, 2))
    metrics = ("ap", "auroc", "accuracy", "balanced_accuracy")
    pairs = [("by 2", "by 0.5"), ("again", "by 0.5"), ("by 0.5", "by 2"), ("again", "by 2")]
    assert [
        tuple(
            row[k] for k in ("method", "compare_to", "scope", "generator", "generators", "metric")
        )
        for row in rows
    ] == [(*pair, *cell, metric) for pair in pairs for cell in cells for metric in metrics]
    figures = {(row["method"], row["generator"]): row for row in measured.to_pylist()}
    by = {(r["method"], r["compare_to"], r["generator"], r["metric"]): r for r in rows}
    for (method, other, generator, metric), row in by.items():
        own, theirs = (figures[name, generator][metric] for name in (method, other))
        assert row["difference"] == pytest.approx(own - theirs, abs=1e-15)
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["seen"] == (generator == "gan")
    better, same = (by[name, "by 0.5", None, "ap"] for name in ("by 2", "again"))
    assert better["low"] > 0 and better["p"] == pytest.approx(2 / 201)
    # unpaired, its interval would be wide
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)


def test_a_group_without_ap_has_no_interval_of_it_and_stays_out_of_the_means():
    measured, differences = measure(TEST, BOTH, {"gan"}, ("good",), resamples=20)
    rows, means = split(measured)
    none = rows.to_pylist()[5]
    assert (none["method"], none["generator"], none["ap_low"]) == ("bad", None, None)
    assert 0 <= none["accuracy_low"] <= none["accuracy_high"] <= 1
    assert means.to_pylist()[1]["ap_low"] == means.to_pylist()[1]["ap"]  # one image a class
    of_none = [row for row in differences.to_pylist() if row["generator"] is None]
    assert [r["metric"] for r in of_none if r["scope"] == "generator"] == ["accuracy"]


def test_without_bootstrap_or_comparison_there_are_points_only():
    test, scores = noisy()
    plain, nothing = measure(test, scores, {"gan"})
    for name in ("ap_low", "accuracy_high"):
        assert plain[name].null_count == plain.num_rows
    assert nothing.num_rows == 0 and nothing.schema.equals(DIFFERENCES)
    points = measure(test, scores, {"gan"}, ("by 2",))[1]
    assert points["low"].null_count == points["p"].null_count == points.num_rows == 16
    boot = measure(test, scores, {"gan"}, ("by 2",), resamples=30)
    for name in ("ap", "nll"):
        assert boot[0][name].equals(plain[name])
    assert boot[1]["difference"].equals(points["difference"])
    again = measure(test, scores, {"gan"}, ("by 2",), resamples=30)
    assert all(one.equals(other) for one, other in zip(boot, again, strict=True))


def test_what_was_chosen_stands_beside_and_in_the_means():
    test, scores = noisy()
    choices = {
        "by 0.5": Choice(0.7, 0.6, 1.5, 0.2, None),
        "by 2": Choice(0.9, 0.4, 0.8, 0.3, 0.7),
    }
    rows, means = split(measure(test, scores, {"gan"}, choices=choices)[0])
    label = test["label"].to_numpy()
    for line, (method, part) in zip(
        rows.to_pylist(), product(scores, (0, 2, 1)), strict=True
    ):  # gan is first, then flow, vae
        own = slice(60 * part, 60 * part + 60)
        expected = chosen_metrics(label[own], scores[method][own], choices[method])
        assert {name: line[name] for name in expected} == expected
        assert {name: line[name] for name in CHOICES} == vars(choices[method])
    first = rows.to_pylist()[:3]
    mean = means.to_pylist()[0]
    assert mean["threshold"] == 0.6
    assert mean["unsure_high"] is None
    for name in CHOSEN:
        assert mean[name] == pytest.approx((first[1][name] + first[2][name]) / 2)
    plain, _ = measure(test, scores, {"gan"})
    assert all(plain[name].null_count == plain.num_rows for name in (*CHOICES, *CHOSEN))


def in_variants(*variants):
    """`noisy`, tested in several variants: of the same rows, as `rows.select` gives them."""
    test, scores = noisy()
    tables = [
        test.set_column(3, "variant", pa.array([variant] * len(test))) for variant in variants
    ]
    return pa.concat_tables(tables), {name: [p] * len(variants) for name, p in scores.items()}


def test_each_variant_has_rows_and_means_of_its_own_clean_ones_first():
    test, scores = in_variants("jpeg_50", "clean", "blur_1")
    found, _ = measure(test, {m: np.concatenate(p) for m, p in scores.items()}, {"gan"})
    assert [(row["variant"], row["scope"], row["generator"]) for row in found.to_pylist()] == [
        (variant, scope, generator)
        for _ in scores
        for variant in ("clean", "blur_1", "jpeg_50")
        for scope, generator in (
            *(("generator", "gan"), ("generator", "flow"), ("generator", "vae")),
            ("mean", None),
        )
    ]


def test_a_variant_is_compared_with_clean_on_the_same_resamples():
    test, scores = in_variants("clean", "jpeg_50", "blur_1")
    worse = {
        method: np.concatenate([p, p, 0.5 * p + 0.25 * (np.arange(len(p)) % 3)])
        for method, (p, _, _) in scores.items()
    }
    found = measure(test, worse, {"gan"}, resamples=200)[0].to_pylist()
    by = {(r["method"], r["variant"], r["generator"]): r for r in found}
    for (method, variant, generator), row in by.items():
        clean = by[method, "clean", generator]
        for name in ("ap", "accuracy"):
            changes = [row[f"{name}_less_clean{end}"] for end in ("", "_low", "_high")]
            if variant == "clean":
                assert changes == [None] * 3
            elif variant == "jpeg_50":  # the very same answers: no resample differs
                assert changes == [0, 0, 0]
            else:
                assert changes[0] == pytest.approx(row[name] - clean[name])
                assert changes[1] < changes[0] < changes[2]


def test_without_clean_images_there_is_no_change():
    test, scores = in_variants("jpeg_50", "blur_1")
    found, _ = measure(test, {m: np.concatenate(p) for m, p in scores.items()}, set(), resamples=5)
    assert found["ap_less_clean"].null_count == found.num_rows
