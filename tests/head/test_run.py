import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.errors import UserError
from pipeline.head import data
from pipeline.head.experiment import Experiment
from pipeline.head.mlp import load_head
from pipeline.head.run import run_experiment
from pipeline.head.table import render, summary

EXPERIMENT = Experiment(
    train="generator = 'gan' and split = 'train'",
    test="split = 'test'",
    head={"hidden": [16], "epochs": 20, "batch_size": 16, "learning_rate": 0.01},
)
METHODS = ["global", "local", "global+local", "linear probe", "cosine"]
MADE_FROM = {"features": "0123456789abcdef"}


@pytest.fixture
def result(content, store, tmp_path):
    return run_experiment(store(content()), EXPERIMENT, "cross", tmp_path / "runs", MADE_FROM)


def test_known_content_gives_the_known_table(result):
    rows = result.metrics.to_pylist()
    assert [(row["method"], row["generator"]) for row in rows] == [
        (method, generator) for method in METHODS for generator in ("gan", "flow", "vae")
    ]
    assert [row["seen"] for row in rows] == [True, False, False] * 5
    for row in rows:
        assert (row["n"], row["num_real"], row["num_fake"]) == (48, 24, 24)
        assert (row["experiment"], row["train"], row["seed"]) == ("cross", EXPERIMENT.train, 0)
        if row["method"] == "local":  # noise
            assert 0.3 < row["auroc"] < 0.7
        else:  # six standard deviations apart
            assert row["ap"] == pytest.approx(1, abs=1e-12)
            assert row["auroc"] == 1.0
            assert row["accuracy"] > 0.95
    assert result.means["method"].to_pylist() == METHODS
    assert (result.num_real, result.num_fake, result.notes) == (24, 24, ())


def test_metrics_are_scikit_learns_on_the_saved_predictions(result):
    metrics = pq.read_table(result.folder / "metrics.parquet")
    predicted = pq.read_table(result.folder / "predictions.parquet")
    assert predicted.num_rows == 5 * 144
    for row in metrics.to_pylist():
        keep = pc.and_(
            pc.equal(predicted["method"], row["method"]),
            pc.equal(predicted["generator"], row["generator"]),
        )
        label = predicted.filter(keep)["label"].to_numpy()
        p = predicted.filter(keep)["probability"].to_numpy()
        assert row["ap"] == pytest.approx(average_precision_score(label, p), abs=1e-12)
        assert row["auroc"] == pytest.approx(roc_auc_score(label, p), abs=1e-12)
        assert row["accuracy"] == pytest.approx(((p >= 0.5) == label).mean(), abs=1e-12)
        assert row["tnr"] == pytest.approx((p[label == 0] < 0.5).mean(), abs=1e-12)
        assert row["tpr"] == pytest.approx((p[label == 1] >= 0.5).mean(), abs=1e-12)


def test_the_saved_head_gives_the_saved_predictions(content, store, result, tmp_path):
    head, about = load_head(result.folder)
    predicted = pq.read_table(result.folder / "predictions.parquet")
    predicted = predicted.filter(pc.equal(predicted["method"], "global+local"))
    x = data.gather(store(content()), predicted["image_id"])
    inputs = np.concatenate([x[name] for name in about["input"]], axis=1)
    assert np.array_equal(head.probabilities(inputs), predicted["probability"].to_numpy())
    assert about["made_from"] == MADE_FROM


def test_the_same_seed_gives_the_same_files_and_another_seed_another_run(
    content, store, result, tmp_path
):
    names = ("head.safetensors", "metrics.parquet", "predictions.parquet")
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
        patched.setattr("pipeline.head.run._fit", fail)
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


def test_experiment_json_says_how_the_numbers_came_about(result):
    about = json.loads((result.folder / "experiment.json").read_text())
    assert about["config"]["train"] == EXPERIMENT.train
    assert about["config"]["head"]["hidden"] == [16]
    assert EXPERIMENT.test in about["sql"]["test"]
    assert about["fingerprints"] == MADE_FROM
    assert about["rows"] == {"train": 48, "test": 144}
    assert {name: len(losses) for name, losses in about["losses"].items()} == dict.fromkeys(
        METHODS[:3], 20
    )
    assert about["libraries"]["torch"]


def test_one_feature_has_one_head(content, store, tmp_path):
    only = EXPERIMENT.model_copy(update={"features": ("global",)})
    result = run_experiment(store(content()), only, "one", tmp_path, {})
    assert result.means["method"].to_pylist() == ["global", "linear probe", "cosine"]
    assert load_head(result.folder)[1]["input"] == {"global": 8}


def test_a_generator_without_reals_has_no_ap_and_the_text_says_so(content, store, tmp_path):
    test = "split = 'test' and not (generator = 'flow' and label = 0)"
    odd = EXPERIMENT.model_copy(update={"test": test})
    result = run_experiment(store(content()), odd, "odd", tmp_path, {})
    row = result.metrics.to_pylist()[1]
    assert (row["generator"], row["ap"], row["tnr"], row["n"]) == ("flow", None, None, 24)
    assert "no AP and no AUROC: flow" in render(result)


def test_the_text_shows_every_method_generator_and_mean(result):
    table = summary(result).to_pylist()
    assert [row["generator"] for row in table[:4]] == [
        "gan (seen)",
        "flow",
        "vae",
        "mean of 2 unseen",
    ]
    assert table[3]["ap"] == pytest.approx(1, abs=1e-12)
    assert table[3]["n"] == 96
    text = render(result)
    assert "cross: trained on 24 real and 24 fake images" in text
    assert str(result.folder) in text
    for method in METHODS:
        assert text.count(f"\n{method} ") == 4


def test_only_seen_generators_have_no_mean(content, store, tmp_path):
    seen = EXPERIMENT.model_copy(update={"test": "split = 'test' and generator = 'gan'"})
    result = run_experiment(store(content()), seen, "seen", tmp_path, {})
    assert "no unseen generator" in render(result)
    assert summary(result).num_rows == 5


def test_progress_is_said(content, store, tmp_path):
    lines = []
    run_experiment(store(content()), EXPERIMENT, "cross", tmp_path, {}, lines.append)
    assert lines[0] == "48 training images, 144 test rows"
    assert len(lines) == 6


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


def test_it_never_imports_a_vision_or_language_library(content, tmp_path):
    parts = {
        name: (table, [str(path) for path in paths])
        for name, (table, paths) in content().write(tmp_path / "store").items()
    }
    code = f"""
import json, sys
from pathlib import Path
from pipeline.head.experiment import Experiment
from pipeline.head.run import run_experiment
from pipeline.head.table import render
from pipeline.query import connect
parts = {{name: (table, [Path(path) for path in paths])
         for name, (table, paths) in json.loads({json.dumps(parts)!r}).items()}}
experiment = Experiment.model_validate_json({EXPERIMENT.model_dump_json()!r})
run = lambda: render(
    run_experiment(connect(parts), experiment, "cross", Path({str(tmp_path)!r}), {{}}, again=False)
)
run()
print(sorted({{"open_clip", "torchvision", "transformers", "spacy", "PIL"}} & set(sys.modules)))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    code = code.replace('"PIL"', '"PIL", "torch", "sklearn"')  # the run is there now
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert (done.stdout, done.stderr) == ("[]\n", "")
