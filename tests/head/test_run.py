import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    log_loss,
    roc_auc_score,
)

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.figures.choose import choose
from pipeline.head.figures.verdict import of_mean_ap
from pipeline.head.methods.fit import CURVES
from pipeline.head.methods.mlp import load_head, stem_of
from pipeline.head.report.run_table import render, summary
from pipeline.head.run import run_experiment
from pipeline.head.vectors.matrices import matrices
from pipeline.query.questions import connect
from tests.head.conftest import Content

EXPERIMENT = Experiment(
    train="generator = 'gan' and split = 'train'",
    test="split = 'test'",
    allow_overlap=True,
    head={"hidden": [16], "epochs": 20, "least_steps": 1, "batch_size": 16, "learning_rate": 0.01},
)
METHODS = [
    *("global", "local", "global+local"),
    *("linear probe", "k-NN", "linear head", "pair probe", "concat MLP"),
    *("caption text", "metadata", "cosine"),
]
NOISE = ("local", "caption text", "metadata")
MADE_FROM = {"features": "0123456789abcdef"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run that most tests look at, trained once."""
    here = tmp_path_factory.mktemp("trained")
    connection = connect(Content().write(here / "store"))
    return run_experiment(connection, EXPERIMENT, "cross", here / "runs", MADE_FROM)


@pytest.fixture
def result(trained, tmp_path):
    """It in this test's own `runs`, where the test may damage it and add to it."""
    there, runs = trained.folder.parents[1], tmp_path / "runs"
    shutil.copytree(there, runs)
    return replace(trained, folder=runs / trained.folder.relative_to(there))


def test_known_content_gives_the_known_table(result):
    rows = result.metrics.to_pylist()
    assert [(row["method"], row["generator"]) for row in rows] == [
        (method, generator) for method in METHODS for generator in ("gan", "flow", "vae")
    ]
    assert [row["seen"] for row in rows] == [True, False, False] * 11
    for row in rows:
        assert (row["n"], row["num_real"], row["num_fake"]) == (48, 24, 24)
        assert (row["experiment"], row["train"], row["seed"]) == ("cross", EXPERIMENT.train, 0)
        if row["method"] in NOISE:
            assert 0.25 < row["auroc"] < 0.75
        elif row["method"] == "k-NN":  # the reals lie around zero: their angles say nothing
            assert row["ap"] > 0.85
        else:  # six standard deviations apart
            assert row["ap"] == pytest.approx(1, abs=1e-12)
            assert row["auroc"] == 1.0
            assert row["accuracy"] > 0.95
            assert row["ece"] < 0.15  # of a head trained on 38 images
    assert result.means["method"].to_pylist() == METHODS
    assert (result.trained_on, result.validated_on) == ((19, 19), (5, 5))
    assert (result.overlap, result.notes) == (("gan",), ())


def test_metrics_are_scikit_learns_on_the_saved_predictions(result):
    metrics = pq.read_table(result.folder / "metrics.parquet")
    predicted = pq.read_table(result.folder / "predictions.parquet")
    assert predicted.num_rows == 11 * 144
    by_generator = metrics.filter(pc.equal(metrics["scope"], "generator"))
    assert metrics.num_rows - by_generator.num_rows == 11  # the means
    for row in by_generator.to_pylist():
        keep = pc.and_(
            pc.equal(predicted["method"], row["method"]),
            pc.equal(predicted["generator"], row["generator"]),
        )
        label = predicted.filter(keep)["label"].to_numpy()
        p = predicted.filter(keep)["probability"].to_numpy()
        assert row["ap"] == pytest.approx(average_precision_score(label, p), abs=1e-12)
        assert row["auroc"] == pytest.approx(roc_auc_score(label, p), abs=1e-12)
        assert row["accuracy"] == pytest.approx(((p >= 0.5) == label).mean(), abs=1e-12)
        balanced = balanced_accuracy_score(label, p >= 0.5)
        assert row["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12)
        assert row["nll"] == pytest.approx(log_loss(label, p), abs=1e-12)
        assert row["tnr"] == pytest.approx((p[label == 0] < 0.5).mean(), abs=1e-12)
        assert row["tpr"] == pytest.approx((p[label == 1] >= 0.5).mean(), abs=1e-12)


def test_what_was_chosen_follows_from_the_saved_validation(content, store, tmp_path):
    experiment = EXPERIMENT.model_copy(update={"validation_share": 0.5, "sure_at": 0.8})
    result = run_experiment(store(content(shift=1.0)), experiment, "cross", tmp_path, {})
    held = pq.read_table(result.folder / "validation.parquet")
    tested = pq.read_table(result.folder / "predictions.parquet")
    assert not set(held["image_id"].to_pylist()) & set(tested["image_id"].to_pylist())
    assert held.num_rows == 11 * 24
    for method in METHODS:
        own = held.filter(pc.equal(held["method"], method))
        label, p = own["label"].to_numpy(), own["probability"].to_numpy()
        expected = vars(choose(label, p, 0.8))
        for row in (*result.metrics.to_pylist(), *result.means.to_pylist()):
            if row["method"] == method:
                assert {name: row[name] for name in expected} == expected
    rows = {(row["method"], row["generator"]): row for row in result.metrics.to_pylist()}
    for (method, generator), row in rows.items():
        keep = pc.and_(pc.equal(tested["method"], method), pc.equal(tested["generator"], generator))
        label = tested.filter(keep)["label"].to_numpy()
        p = tested.filter(keep)["probability"].to_numpy()
        right = ((p >= row["threshold"]) == label).mean()
        assert row["accuracy_at_threshold"] == pytest.approx(right, abs=1e-12)


def test_learning_curves_are_saved_with_the_epoch_that_was_kept(content, store, result):
    curves = pq.read_table(result.folder / "curves.parquet")
    assert curves.schema.equals(CURVES)
    heads = ("global", "local", "global+local", "concat MLP")
    assert pc.unique(curves["method"]).to_pylist() == list(heads)
    held = pq.read_table(result.folder / "validation.parquet")
    for method in heads:
        points = curves.filter(pc.equal(curves["method"], method)).to_pylist()
        assert [point["epoch"] for point in points] == list(range(1, len(points) + 1))
        (best,) = (point for point in points if point["best"])
        assert len(points) == min(20, best["epoch"] + 5)
        own = held.filter(pc.equal(held["method"], method))
        label, p = own["label"].to_numpy(), own["probability"].to_numpy()
        assert average_precision_score(label, p) == pytest.approx(best["validation_ap"], abs=1e-12)
        assert log_loss(label, p) == pytest.approx(best["validation_loss"], abs=1e-6)


def test_the_saved_head_gives_the_saved_predictions(content, store, result, tmp_path):
    head, about = load_head(result.folder)
    predicted = pq.read_table(result.folder / "predictions.parquet")
    predicted = predicted.filter(pc.equal(predicted["method"], "global+local"))
    x = matrices(store(content()), predicted["image_id"], EXPERIMENT)
    inputs = np.concatenate([x[name] for name in about["input"]], axis=1)
    assert np.array_equal(head.probabilities(inputs), predicted["probability"].to_numpy())
    assert about["made_from"] == MADE_FROM


def test_every_method_that_is_weights_alone_is_saved_and_gives_its_predictions(
    content, store, result
):
    predicted = pq.read_table(result.folder / "predictions.parquet")
    x = matrices(store(content()), predicted["image_id"].slice(0, 144), EXPERIMENT)
    for place, method in enumerate(METHODS):
        stem = stem_of(EXPERIMENT, method)
        assert stem == ("head" if method == "global+local" else f"method-{place}")
        if method in ("k-NN", "metadata"):  # the training images, and the formats of these files
            assert not (result.folder / f"{stem}.json").exists()
            continue
        head, about = load_head(result.folder, stem)
        assert about["method"] == method
        assert tuple(about["input"]) == EXPERIMENT.reads[method]
        inputs = np.concatenate([x[name] for name in about["input"]], axis=1)
        own = predicted.filter(pc.equal(predicted["method"], method))["probability"].to_numpy()
        assert np.allclose(head.probabilities(inputs), own, atol=1e-5)


def test_the_same_seed_gives_the_same_files_and_another_seed_another_run(
    content, store, result, tmp_path
):
    names = ("head.safetensors", "curves.parquet", "metrics.parquet", "predictions.parquet")
    before = {name: (result.folder / name).read_bytes() for name in names}
    connection, runs = store(content()), tmp_path / "runs"
    again = run_experiment(connection, EXPERIMENT, "cross", runs, MADE_FROM)
    assert again.folder == result.folder
    assert {name: (again.folder / name).read_bytes() for name in names} == before
    other = EXPERIMENT.model_copy(update={"seed": 1})
    seeded = run_experiment(connection, other, "cross", runs, MADE_FROM)
    assert seeded.run_id != result.run_id
    assert (seeded.folder / "head.safetensors").read_bytes() != before["head.safetensors"]
    assert sorted(path.name for path in runs.iterdir()) == ["cross"]  # nothing half is left
    assert len(list((runs / "cross").iterdir())) == 2


def test_a_run_of_the_same_inputs_is_read_unless_asked_again(
    content, store, result, tmp_path, monkeypatch
):
    def fail(*arguments):
        raise AssertionError("it trained again")

    connection, runs = store(content()), tmp_path / "runs"
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.head.methods.fit.fit", fail)
        found = run_experiment(connection, EXPERIMENT, "cross", runs, MADE_FROM, again=False)
    assert found.metrics.equals(result.metrics)
    assert found.means.equals(result.means)
    assert (found.folder, found.seconds) == (result.folder, None)
    assert "trained before, on the same inputs" in render(found)
    (result.folder / "metrics.parquet").write_bytes(b"damaged")
    mended = run_experiment(connection, EXPERIMENT, "cross", runs, MADE_FROM, again=False)
    assert mended.metrics.equals(result.metrics)
    assert mended.seconds > 0


def test_the_run_id_follows_the_fingerprints_and_the_rows(content, store, result, tmp_path):
    runs = tmp_path / "runs"
    remade = run_experiment(store(content()), EXPERIMENT, "cross", runs, {"features": "other"})
    made = content()
    made.listing["label"][0] = None
    fewer = run_experiment(store(made), EXPERIMENT, "cross", runs, MADE_FROM)
    assert len({result.run_id, remade.run_id, fewer.run_id}) == 3
    assert "training: 1 unlabelled rows left out" in render(fewer)
    held = EXPERIMENT.model_copy(update={"validation_share": 0.3})
    other = run_experiment(store(content()), held, "cross", runs, MADE_FROM)
    assert other.run_id not in (result.run_id, remade.run_id, fewer.run_id)


@pytest.mark.parametrize(
    "change",
    [
        *({"bootstrap": 200}, {"neighbours": 3}, {"compare_to": ("cosine",)}, {"compare_to": ()}),
        {"sure_at": 0.8},
    ],
)
def test_the_run_id_follows_every_parameter(content, store, result, tmp_path, change):
    other = EXPERIMENT.model_copy(update=change)
    changed = run_experiment(store(content()), other, "cross", tmp_path / "runs", MADE_FROM)
    assert changed.run_id != result.run_id
    assert changed.metrics["auroc"].to_pylist()[:9] == result.metrics["auroc"].to_pylist()[:9]


def test_a_sample_smaller_than_the_neighbours_is_said_and_not_an_error(content, store, tmp_path):
    many = EXPERIMENT.model_copy(update={"neighbours": 100_000})
    few = run_experiment(store(content()), many, "cross", tmp_path / "runs", MADE_FROM)
    assert any("k-NN takes all" in note for note in few.notes)
    assert "k-NN" in few.metrics["method"].to_pylist()


def test_a_planted_size_bias_is_found_by_the_metadata_alone(content, store, tmp_path):
    made = content(shift=0)
    for i, label in enumerate(made.listing["label"]):
        made.images["bytes"][i] += 3_000 * label  # every fake is a larger file
    found = run_experiment(store(made), EXPERIMENT, "biased", tmp_path, {})
    by = {row["method"]: row for row in found.means.to_pylist()}
    assert by["metadata"]["accuracy"] > 0.95
    rows = of_mean_ap(found.differences, "clean")
    assert {row["method"]: row["low"] for row in rows}["metadata"] > 0.2
    assert by["linear probe"]["accuracy"] < 0.7


def test_means_and_intervals_are_saved_and_nest(result):
    saved = pq.read_table(result.folder / "metrics.parquet", partitioning=None).to_pylist()
    assert saved == [
        row
        for method in METHODS
        for table in (result.metrics, result.means)
        for row in table.to_pylist()
        if row["method"] == method
    ]
    for row in saved:
        for name in ("ap", "accuracy"):
            assert row[f"{name}_low"] - 1e-12 <= row[name] <= row[f"{name}_high"] + 1e-12
    differences = pq.read_table(result.folder / "differences.parquet", partitioning=None)
    assert differences.equals(result.differences)
    assert set(differences["compare_to"].to_pylist()) == {"linear probe"}


def test_the_text_without_bootstrap_has_no_intervals(content, store, result, tmp_path):
    assert "1.000 [1.00, 1.00]" in render(result)
    assert "intervals of 1,000 bootstrap resamples" in render(result)
    plain = EXPERIMENT.model_copy(update={"bootstrap": 0, "compare_to": ()})
    text = render(run_experiment(store(content()), plain, "plain", tmp_path, {}))
    assert "[" not in text
    assert "1.000" in text
    assert "that of" not in text


def test_experiment_json_says_how_the_numbers_came_about(result):
    about = json.loads((result.folder / "experiment.json").read_text())
    assert about["config"]["train"] == EXPERIMENT.train
    assert about["config"]["head"]["hidden"] == [16]
    assert EXPERIMENT.test in about["sql"]["test"]
    assert about["fingerprints"] == MADE_FROM
    assert about["rows"] == {"train": 38, "validation": 10, "test": 144}
    assert about["overlap"] == ["gan"]
    assert about["libraries"]["torch"]


def test_one_feature_has_one_head(content, store, tmp_path):
    only = EXPERIMENT.model_copy(update={"features": ("global",)})
    result = run_experiment(store(content()), only, "one", tmp_path, {})
    assert result.means["method"].to_pylist() == ["global", *METHODS[3:]]
    assert load_head(result.folder)[1]["input"] == {"global": 8}


def test_features_are_computed_from_the_cached_embeddings(content, store, tmp_path):
    """The made embeddings tell fakes from reals, whatever the made features say."""
    changes = {"features": ("global", "local", "scalars"), "representation": "concat"}
    other = EXPERIMENT.model_copy(update={**changes, "pooling": "max_norm"})
    result = run_experiment(store(content()), other, "other", tmp_path, {})
    methods = pc.unique(result.metrics["method"]).to_pylist()
    assert methods[:4] == ["global", "local", "scalars", "global+local+scalars"]
    about = load_head(result.folder)[1]
    assert about["input"] == {"global": 16, "local": 16, "scalars": 6}
    assert (about["representation"], about["pooling"]) == ("concat", "max_norm")
    assert result.means.to_pylist()[0]["ap"] > 0.99


def test_a_generator_without_reals_has_no_ap_and_the_text_says_so(content, store, tmp_path):
    test = "split = 'test' and not (generator = 'flow' and label = 0)"
    odd = EXPERIMENT.model_copy(update={"test": test})
    result = run_experiment(store(content()), odd, "odd", tmp_path, {})
    row = result.metrics.to_pylist()[1]
    assert (row["generator"], row["ap"], row["tnr"], row["n"]) == ("flow", None, None, 24)
    assert "no AP and no AUROC, and in no mean" in render(result)


def test_the_text_shows_every_method_generator_and_mean(result):
    table = summary(result).to_pylist()
    assert [row["generator"] for row in table[:4]] == [
        "gan (seen in training)",
        "flow",
        "vae",
        "mean of 2 unseen",
    ]
    assert table[3]["ap"] == pytest.approx(1, abs=1e-12)
    assert table[3]["n"] == 96
    text = render(result)
    assert "cross: trained on 19 real and 19 fake images" in text
    assert "validated on 5 real and 5 fake images (20% of what `train` selects" in text
    assert "allow_overlap: fakes of gan were trained on, other ones tested" in text
    assert str(result.folder) in text
    for method in METHODS:
        # by generator and mean; seen and mean; the differences are from the linear probe
        count = 6 if method == "linear probe" else 7
        # every method has fewer validation images than a sure verdict needs
        assert text.count(f"\n{method} ") == count + 1
        assert f"{method} is never sure of: real, fake" in text
    lines = render(result, 120).splitlines()
    assert max(len(line) for line in lines if str(result.folder) not in line) <= 120


def test_only_seen_generators_have_no_mean(content, store, tmp_path):
    seen = EXPERIMENT.model_copy(update={"test": "split = 'test' and generator = 'gan'"})
    result = run_experiment(store(content()), seen, "seen", tmp_path, {})
    assert "no unseen generator" in render(result)
    assert summary(result).num_rows == 11
    assert "that of" not in render(result)


def test_progress_is_said(content, store, tmp_path):
    lines = []
    run_experiment(store(content()), EXPERIMENT, "cross", tmp_path, {}, lines.append)
    assert lines[0] == "38 training, 10 validation images, 144 test rows"
    assert len(lines) == 1 + 11 + 1
    assert lines[-1] == "measuring, with 1,000 bootstrap resamples"


def test_bad_places_are_refused(content, store, tmp_path):
    connection = store(content())
    with pytest.raises(UserError, match="cannot be the name"):
        run_experiment(connection, EXPERIMENT, "../cross", tmp_path, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be saved"):
        run_experiment(connection, EXPERIMENT, "cross", tmp_path / "file", {})


def test_a_failed_write_keeps_the_former_run(content, store, result, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    connection = store(content())
    monkeypatch.setattr("pipeline.head.run.pq.write_table", fail)
    with pytest.raises(UserError, match="No space left"):
        run_experiment(connection, EXPERIMENT, "cross", tmp_path / "runs", MADE_FROM)
    assert load_head(result.folder)[1]["made_from"] == MADE_FROM
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["cross"]


@pytest.mark.parametrize("what", ["file", "refused"])
def test_a_store_that_cannot_be_written_is_found_before_training(
    content, store, tmp_path, monkeypatch, what
):
    def train(*arguments, **options):
        raise AssertionError("trained for nothing")

    connection, runs = store(content()), tmp_path / "runs"
    monkeypatch.setattr("pipeline.head.run._compute", train)
    if what == "file":
        runs.mkdir()
        (runs / "cross").write_text("")
    else:  # permissions do not bind root

        def refuse(path, *arguments, **options):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match="the run cannot be saved") as caught:
        run_experiment(connection, EXPERIMENT, "cross", runs, MADE_FROM)
    assert "--store" in caught.value.hint


def test_what_is_trained_already_is_read_without_a_library(content, store, tmp_path):
    made = content()
    run_experiment(store(made), EXPERIMENT, "cross", tmp_path, {})
    parts = {
        name: (table, [str(path) for path in paths])
        for name, (table, paths) in made.write(tmp_path / "store").items()
    }
    code = f"""
import json, sys
from pathlib import Path
from pipeline.dag.experiment import Experiment
from pipeline.head.run import run_experiment
from pipeline.head.report.run_table import render
from pipeline.query.questions import connect
parts = {{name: (table, [Path(path) for path in paths])
         for name, (table, paths) in json.loads({json.dumps(parts)!r}).items()}}
experiment = Experiment.model_validate_json({EXPERIMENT.model_dump_json()!r})
there = connect(parts), experiment, "cross", Path({str(tmp_path)!r}), {{}}
render(run_experiment(*there, again=False))
bad = {{"open_clip", "torchvision", "transformers", "spacy", "PIL", "torch", "sklearn"}}
print(sorted(bad & set(sys.modules)))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_run_by_variant_measures_each_variant_on_its_own_predictions(content, store, tmp_path):
    made = content(shift=1.0)
    made.perturb("jpeg_50", scale=0.02)
    made.perturb("blur_2", scale=0.5)
    experiment = EXPERIMENT.model_copy(update={"test_by": ("generator", "variant")})
    result = run_experiment(store(made), experiment, "robust", tmp_path / "runs", MADE_FROM)
    predicted = pq.read_table(result.folder / "predictions.parquet").to_pandas()
    assert set(predicted["variant"]) == {"clean", "jpeg_50", "blur_2"}
    suffix = {"clean": "", "jpeg_50": "-jpeg_50", "blur_2": "-blur_2"}
    assert (predicted["image_id"].str[32:] == predicted["variant"].map(suffix)).all()
    rows = result.metrics.to_pylist()
    assert len(rows) == 11 * 3 * 3 and result.means.num_rows == 11 * 3
    by = {(row["method"], row["variant"], row["generator"]): row for row in rows}
    for (method, variant, generator), row in by.items():
        same = (predicted["method"] == method) & (predicted["variant"] == variant)
        some = predicted[same & (predicted["generator"] == generator)]
        expected = average_precision_score(some["label"], some["probability"])
        assert row["ap"] == pytest.approx(expected, abs=1e-12)
        if variant != "clean":
            change = row["ap"] - by[method, "clean", generator]["ap"]
            assert row["ap_less_clean"] == pytest.approx(change, abs=1e-12)
    assert by["global", "blur_2", "vae"]["ap_less_clean"] < -0.02
    validation = pq.read_table(result.folder / "validation.parquet")
    assert set(validation["variant"].to_pylist()) == {"clean"}
    card = (result.folder / "model_card.md").read_text()
    assert "## Results of this head on perturbed images" in card
    assert "test: 72 real and 72 fake images" in card  # images, in however many variants
    text = render(result)
    lines = [line.split() for line in text.splitlines()]
    header = ["method", "generator", "clean", "blur_2", "jpeg_50"]
    assert lines.count(header) == 2
    assert sum(line[:2] == ["cosine", "vae"] for line in lines) == 2
    assert "mean of 2 unseen" in text


def test_a_run_trained_on_a_variant_says_so(content, store, tmp_path):
    made = content()
    for split in ("train", "test"):
        made.perturb("jpeg_90", split)
    experiment = EXPERIMENT.model_copy(update={"variant": "jpeg_90"})
    result = run_experiment(store(made), experiment, "encoded", tmp_path / "runs", MADE_FROM)
    assert {(r["variant"], r["train_variant"]) for r in result.metrics.to_pylist()} == {
        ("jpeg_90", "jpeg_90")
    }
    assert result.metrics["ap_less_clean"].null_count == result.metrics.num_rows
    assert "fake images in the variant jpeg_90" in render(result)
    assert "- trained on the variant jpeg_90" in (result.folder / "model_card.md").read_text()
