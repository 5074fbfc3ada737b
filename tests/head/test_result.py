import numpy as np
import pytest

from pipeline.dag.experiment import Experiment
from pipeline.head.experiment_runs import run_sweep
from pipeline.head.figures.wording import ends
from pipeline.head.report.run_table import render
from pipeline.head.report.study_table import plain_tables
from pipeline.head.report.sweep_table import render_sweep, shown
from pipeline.head.result import OVER_SEEDS, over_seeds
from pipeline.query.questions import connect
from tests.head.conftest import Content

SWEPT = Experiment.model_validate(
    {
        "train": "generator = 'gan' and split = 'train'",
        "test": "split = 'test'",
        "allow_overlap": True,
        "bootstrap": 0,
        "features": ["global"],
        "seed": [0, 1, 2],
        "head": {
            "hidden": [[], [4]],
            "epochs": 3,
            "least_steps": 1,
            "batch_size": 16,
            "learning_rate": 0.01,
        },
    }
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The sweep's runs and what it said, for tests that only look at them."""
    here, lines = tmp_path_factory.mktemp("swept"), []
    connection = connect(Content(shift=1.0).write(here / "store"))
    return run_sweep(connection, SWEPT, "swept", here / "runs", {}, lines.append), lines


def test_every_combination_is_a_run_of_its_own(swept):
    results, lines = swept
    assert len({result.folder for result in results}) == 6
    assert [result.experiment.seed for result in results] == [0, 1, 2, 0, 1, 2]
    assert [result.experiment.head.hidden for result in results] == [()] * 3 + [(4,)] * 3
    assert "swept: run 4 of 6, seed 0" in lines


def test_figures_are_means_and_deviations_over_seeds(swept):
    results, _ = swept
    table = over_seeds(results)
    assert table.schema.equals(OVER_SEEDS)
    rows = table.to_pylist()
    assert len(rows) == 2 * 9 * 4  # configurations, methods, three generators and the mean
    for row in rows:
        own = results[:3] if row["configuration"] == "hidden []" else results[3:]
        found = [
            one
            for result in own
            for one in (result.means if row["scope"] == "mean" else result.metrics).to_pylist()
            if (one["method"], one["generator"]) == (row["method"], row["generator"])
        ]
        assert row["runs"] == len(found) == 3
        for name in ("ap", "accuracy", "threshold", "validation_ap", "nll_scaled"):
            values = [one[name] for one in found]
            assert row[name] == pytest.approx(np.mean(values), abs=1e-12)
            assert row[f"{name}_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
        assert row["accuracy_sure"] is row["accuracy_sure_std"] is None  # nothing was sure


def test_the_text_shows_configurations_seeds_and_folders(swept):
    results, _ = swept
    text = render_sweep(results)
    assert "seeds 0, 1, 2" in text
    assert "hidden [4]" in text
    assert "gan (seen in training)" in text
    assert "±: sample standard deviation over seeds" in text
    for result in results:
        assert str(result.folder) in text
    rows = shown(results).to_pylist()
    assert len(rows) == 2 * 9 * 2  # the seen generator and the mean over the unseen
    first = over_seeds(results).to_pylist()[0]
    assert rows[0]["ap"] == f"{first['ap']:.3f} ± {first['ap_std']:.3f}"
    runs = plain_tables({"x": results})["runs"]
    assert [row["seed"] for row in runs] == [result.experiment.seed for result in results]
    assert {row["configuration"] for row in runs} == {"hidden [4]", "hidden []"}


def test_one_run_is_shown_as_ever(swept):
    results, _ = swept
    assert render_sweep(results[:1]) == render(results[0])
    assert "configuration" not in shown(results[:3]).column_names
    seeds = over_seeds(results[:1])
    assert seeds["ap_std"].null_count == seeds.num_rows


def test_without_unseen_generators_all_are_shown(content, store, tmp_path):
    seen = SWEPT.model_copy(update={"test": "generator = 'gan' and split = 'test'"})
    results = run_sweep(store(content()), seen, "seen", tmp_path, {})
    assert set(shown(results)["generator"].to_pylist()) == {"gan (seen in training)"}
    assert "no unseen generator" in render_sweep(results)


def test_seeds_have_the_spread_and_the_interval(swept, content, store, tmp_path):
    resampled = SWEPT.model_copy(update={"bootstrap": 50, "sweep": {"seed": (0, 1)}})
    results = run_sweep(store(content()), resampled, "both", tmp_path, {})
    row = over_seeds(results).to_pylist()[0]
    for name in ("ap_low", "ap_high", "auroc_low", "balanced_accuracy_high"):
        own = [result.metrics.to_pylist()[0][name] for result in results]
        assert row[name] == pytest.approx(np.mean(own), abs=1e-12)
    shown_row = shown(results).to_pylist()[0]
    assert shown_row["ap"] == f"{row['ap']:.3f} ± {row['ap_std']:.3f}"
    assert shown_row["[95 %]"] == ends(row["ap_low"], row["ap_high"])
    assert shown_row["chance"] == f"{row['chance']:.3f}"
    text = render_sweep(results)
    assert "mean ends of the seeds' 50 bootstrap" in text
    assert "against linear probe, by mean ap in each of 2 runs" in text
    plain, _ = swept
    assert "[95 %]" not in shown(plain).column_names
