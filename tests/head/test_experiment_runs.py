import pytest

from pipeline.dag.experiment import Experiment
from pipeline.head.experiment_runs import run_study
from pipeline.head.report.study_table import matrix, plain_tables, render_study
from pipeline.head.report.sweep_table import render_sweep
from pipeline.head.result import over_seeds

HEAD = {"hidden": [], "epochs": 2, "least_steps": 1, "batch_size": 16, "learning_rate": 0.01}


@pytest.fixture
def run(content, store, tmp_path):
    def study(**raw):
        raw = {"head": HEAD, "features": ["global"], "bootstrap": 50, **raw}
        experiment = Experiment.model_validate(raw)
        return run_study(store(content(shift=1.0)), experiment, "x", tmp_path / "runs", {})

    return study


def test_one_experiment_is_shown_as_ever(run):
    study = run(train="generator = 'gan' and split = 'train'", test="generator = 'vae'")
    (results,) = study.values()
    assert render_study(study) == render_sweep(results)
    tables = plain_tables(study)
    assert [row["folder"] for row in tables["runs"]] == [str(results[0].folder)]
    assert {row["run_id"] for row in tables["metrics"]} == {results[0].run_id}
    assert len(tables["metrics"]) == results[0].metrics.num_rows


def test_a_matrix_has_a_row_a_training_generator_and_a_column_a_tested_one(run):
    study = run(preset="train_x_test")
    assert list(study) == ["x.flow", "x.gan", "x.vae"]
    table = matrix(study)
    assert table.column_names == ["method", "run", "flow", "gan", "vae", "mean of unseen"]
    rows = table.to_pylist()
    assert [(row["method"], row["run"]) for row in rows[:4]] == [
        *(("global", "flow"), ("global", "gan"), ("global", "vae"), ("linear probe", "flow")),
    ]
    (result,) = study["x.gan"]
    own = {row["generator"]: row for row in result.metrics.to_pylist() if row["method"] == "global"}
    assert rows[1]["flow"].startswith(f"{own['flow']['ap']:.3f} [")
    assert [rows[1][name].endswith("*") for name in ("flow", "gan", "vae")] == [False, True, False]
    mean = (own["flow"]["ap"] + own["vae"]["ap"]) / 2
    assert rows[1]["mean of unseen"].startswith(f"{mean:.3f} [")
    assert (rows[-1]["method"], rows[-1]["run"]) == ("chance", "")
    assert rows[-1]["flow"] == f"{own['flow']['chance']:.3f}"
    text = render_study(study)
    assert "*: trained on too, in no mean over the unseen" in text
    assert "against linear probe, by mean ap in each of 3 runs" in text
    for (result,) in study.values():
        assert str(result.folder) in text
    tables = plain_tables(study)
    assert [row["experiment"] for row in tables["runs"]] == list(study)
    assert {row["experiment"] for row in tables["means"]} == set(study)


def test_left_out_generators_are_columns_of_one_row(run):
    study = run(preset="leave_one_out")
    table = matrix(study)
    assert table.column_names == ["method", "flow", "gan", "vae", "mean of unseen"]
    assert table.num_rows == 10  # nine methods, and chance
    first = table.to_pylist()[0]
    values = [
        next(row["ap"] for row in results[0].metrics.to_pylist() if row["method"] == "global")
        for results in study.values()
    ]
    shown = [float(first[name][:5]) for name in ("flow", "gan", "vae")]
    assert shown == pytest.approx(values, abs=6e-4)
    assert float(first["mean of unseen"]) == pytest.approx(sum(values) / 3, abs=6e-4)


def test_a_generator_without_reals_has_no_figure(content, store, tmp_path):
    made = content(shift=1.0)
    for row, label in enumerate(made.listing["label"]):
        if label == 0 and made.listing["generator"][row] == "vae":
            made.listing["label"][row] = None
    some = "split = 'train' and generator <> 'vae'"
    experiment = Experiment(preset="train_x_test", train=some, head=HEAD, bootstrap=0)
    study = run_study(store(made), experiment, "x", tmp_path, {})
    rows = matrix(study).to_pylist()
    assert {row["vae"] for row in rows} == {None}
    assert rows[-1]["method"] == "chance" and rows[-1]["gan"] is not None
    assert all(row["mean of unseen"] for row in rows)
    assert "x.gan" in render_study(study)


def test_with_seeds_the_matrix_has_deviations(run):
    study = run(preset="leave_one_out", seed=[0, 1], bootstrap=0)
    first = matrix(study).to_pylist()[0]
    row = over_seeds(study["x.gan"]).to_pylist()[0]
    assert first["gan"] == f"{row['ap']:.3f} ± {row['ap_std']:.3f}"
    assert "mean ± sample standard deviation over seeds" in render_study(study)


@pytest.fixture
def perturbed(content, store, tmp_path):
    """As `run`, with the test images in one more variant."""
    made = content(shift=1.0)
    made.perturb("blur_1", scale=0.2)

    def study(**raw):
        raw = {"head": HEAD, "features": ["global"], "bootstrap": 50, **raw}
        experiment = Experiment.model_validate({**raw, "test_by": "variant"})
        return run_study(store(made), experiment, "x", tmp_path / "runs", {})

    return study


def test_a_matrix_has_a_row_each_variant(perturbed):
    table = matrix(perturbed(preset="train_x_test"))
    rows = [row["run"] for row in table.to_pylist() if row["method"] == "global"]
    assert rows == [f"{name}, {v}" for name in ("flow", "gan", "vae") for v in ("clean", "blur_1")]


def test_runs_over_seeds_are_shown_by_variant_too(perturbed):
    study = perturbed(
        train="generator = 'gan' and split = 'train'",
        test="split = 'test' and generator = 'vae'",
        seed=[0, 1],
    )
    (results,) = study.values()
    found = over_seeds(results).to_pylist()
    assert {(row["variant"], row["runs"]) for row in found} == {("clean", 2), ("blur_1", 2)}
    own = [row for row in found if row["method"] == "global" and row["scope"] == "mean"]
    clean, blurred = sorted(own, key=lambda row: row["variant"] != "clean")
    assert blurred["ap_less_clean"] == pytest.approx(blurred["ap"] - clean["ap"])
    text = render_study(study)
    change = f"{blurred['ap']:.3f} {blurred['ap_less_clean']:+.3f}".replace(" -0.", " -.")
    assert change.replace(" +0.", " +.") in text
    assert "accuracy at 0.5, mean of 1 unseen" in text and "~:" not in text


def test_files_that_tell_are_announced_above_the_matrix(content, store, tmp_path):
    made = content(shift=1.0)
    for row, label in enumerate(made.listing["label"]):
        made.images["bytes"][row] += 3_000 * label  # every fake is a larger file
    raw = {"preset": "train_x_test", "head": HEAD, "features": ["global"], "bootstrap": 50}
    experiment = Experiment.model_validate(raw)
    study = run_study(store(made), experiment, "x", tmp_path / "runs", {})
    text = render_study(study)
    assert text.startswith("in 3 of 3 runs, such as x.flow:\nfiles tell: `metadata` alone")
