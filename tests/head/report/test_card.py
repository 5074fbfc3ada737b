import pyarrow.parquet as pq
import pytest

from pipeline.dag.experiment import Experiment
from pipeline.head.run import run_experiment

EXPERIMENT = Experiment(
    train="generator = 'gan' and split = 'train'",
    test="split = 'test'",
    allow_overlap=True,
    head={"hidden": [16], "epochs": 20, "least_steps": 1, "batch_size": 16, "learning_rate": 0.01},
)
MADE_FROM = {"features": "0123456789abcdef"}


@pytest.fixture
def result(content, store, tmp_path):
    return run_experiment(store(content()), EXPERIMENT, "cross", tmp_path / "runs", MADE_FROM)


def test_it_has_the_runs_own_numbers(result):
    text = (result.folder / "model_card.md").read_text()
    assert text.startswith(f"# Model card: cross {result.run_id}\n")
    assert "## What is not known of the method" in text
    assert "- train: 19 real and 19 fake images; `generator = 'gan' and split = 'train'`" in text
    assert "- test: 72 real and 72 fake images; `split = 'test'`" in text
    assert "`allow_overlap`: other images of gan were trained on and tested" in text
    assert "no verdict `real` is sure; no verdict `fake` is sure" in text
    rows = [*result.metrics.to_pylist(), *result.means.to_pylist()]
    own = {row["generator"]: row for row in rows if row["method"] == "global+local"}
    for generator, name in (("gan", "gan (seen in training)"), (None, "mean of 2 unseen")):
        row = own[generator]
        figures = [row[key] for key in ("ap", "chance", "auroc", "fpr95", "accuracy")]
        assert f"\n| {name} | {' | '.join(f'{value:.3f}' for value in figures)} |" in text
    for method in EXPERIMENT.methods:
        assert f"\n| {method} | " in text
    curves = pq.read_table(result.folder / "curves.parquet").to_pylist()
    (best,) = (p for p in curves if p["method"] == "global+local" and p["best"])
    assert f"The weights are those of epoch {best['epoch']}:" in text
    assert "- `features`: 0123456789abcdef" in text


def test_it_says_nothing_of_what_a_run_has_not(content, store, tmp_path):
    plain = {"validation": None, "bootstrap": 0, "features": ("local",), "allow_overlap": False}
    plain |= {"test": "split = 'test' and generator = 'vae'", "head": {"patience": None}}
    other = Experiment.model_validate({**EXPERIMENT.model_dump(), **plain})
    folder = run_experiment(store(content()), other, "plain", tmp_path, {}).folder
    text = (folder / "model_card.md").read_text()
    assert "features: local (" in text
    assert "no early stopping" in text
    assert "allow_overlap" not in text
    assert "- none given" in text
