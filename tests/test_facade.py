"""`import pipeline as item`: what the commands do, for Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pipeline as item
from tests.conftest import draw, make_dag

FEW = 6


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a DAG of two generators' images, all computed by `item.run`."""
    folder = tmp_path_factory.mktemp("facade")
    for g, generator in enumerate(("gan", "flow")):
        for label, name in enumerate(("0_real", "1_fake")):
            for i in range(FEW):
                draw(
                    folder / "corpus" / "test" / generator / name / f"{i}.jpg",
                    99 * g + 33 * label + i,
                )
    dag = make_dag(folder / "small.yaml", folder / "corpus")
    text = "experiments:\n  both:\n    train: \"generator = 'gan'\"\n    bootstrap: 0\n"
    dag.write_text(
        dag.read_text() + text + "    baselines: [cosine]\n    head: {epochs: 2, least_steps: 1}\n"
    )
    totals = item.run(str(dag), folder / "store", inline=True)
    assert {one.node: one.rows_ok for one in totals}["features"] == 4 * FEW
    return folder


@pytest.fixture
def dag(here):
    return item.Dag.load(str(here / "small.yaml"))


def test_a_plan_says_what_a_change_costs(here, dag):
    assert sum(step.images for step in item.plan(dag, here / "store")) == 0
    changed = item.Dag.load(str(here / "small.yaml"), ["captions.num_beams=1"])
    steps = {step.node: step.images for step in item.plan(changed, here / "store", workers=2)}
    assert steps["captions"] == 4 * FEW and steps["image_embeddings"] == 0


def test_a_run_goes_as_far_as_it_is_told(here, tmp_path):
    totals = item.run(str(here / "small.yaml"), tmp_path / "store", until="images", inline=True)
    assert [one.node for one in totals] == ["listing", "images"]
    assert totals[-1].rows_ok == 4 * FEW


def test_features_are_the_cached_vectors_in_the_order_of_their_rows(here, dag):
    x, y, rows = item.features(dag, "generator = 'gan'", store=here / "store")
    assert x.dtype == np.float32 and y.dtype == np.int8 and x.shape[0] == len(y) == 2 * FEW
    assert rows["label"].to_pylist() == y.tolist() and y.sum() == FEW
    sql = 'select image_id, global, coalesce(local, [0.0 for _ in global]) as "local" from features'
    cached = item.open_store(dag, here / "store").sql(sql).fetchall()
    of = {image: np.float32([*whole, *local]) for image, whole, local in cached}
    np.testing.assert_array_equal(x, [of[image] for image in rows["image_id"].to_pylist()])


def test_features_of_one_kind_and_of_one_label(here, dag):
    x, y, rows = item.features(dag, "label = 1", ["image", "scalars"], store=here / "store")
    image, _, _ = item.features(dag, "label = 1", ["image"], store=here / "store")
    assert set(y.tolist()) == {1} and rows.num_rows == 2 * FEW
    np.testing.assert_array_equal(x[:, : image.shape[1]], image)
    with pytest.raises(item.UserError, match="generater"):
        item.features(dag, "generater = 'gan'", store=here / "store")


def test_a_query_by_name_with_parameters_and_by_sql(here, dag):
    store = here / "store"
    assert item.query("by_generator", dag, store).num_rows > 0
    few = item.query("most_misaligned", dag, store, generator="gan", variant=None)
    assert set(few["generator"].to_pylist()) == {"gan"}
    assert item.query("select count(*) as n from images", dag, store)["n"].to_pylist() == [4 * FEW]
    with pytest.raises(item.UserError, match="no parameter 'generater'"):
        item.query("most_misaligned", dag, store, generater="gan")
    with pytest.raises(item.UserError, match="no query or view 'by_generater'"):
        item.query("by_generater", dag, store)


def test_a_query_is_about_the_dag_in_this_folder(here, monkeypatch):
    monkeypatch.chdir(here)
    assert item.query("select 1 as one")["one"].to_pylist() == [1]
    monkeypatch.chdir(here / "corpus")
    with pytest.raises(item.UserError, match="no DAG is named"):
        item.query("by_generator")


def test_training_gives_the_tables_and_saves_the_run(here, dag):
    tables = item.train(dag, "both", here / "store")
    assert {"runs", "metrics", "means", "differences"} <= set(tables)
    assert {row["method"] for row in tables["metrics"]} >= {"global+local", "cosine"}
    (saved,) = tables["runs"]
    assert (Path(saved["folder"]) / "head.safetensors").is_file()
    known = item.query("select distinct run_id from runs", dag, here / "store")
    assert known["run_id"].to_pylist() == [saved["run_id"]]
    with pytest.raises(item.UserError, match="no experiment 'bot'"):
        item.train(dag, "bot", here / "store")


def test_overrides_go_with_loading(here, dag):
    with pytest.raises(item.UserError, match="takes no overrides"):
        item.open_store(dag, here / "store", ["captions.num_beams=1"])


def test_rooms_do_not_take_the_place_of_functions():
    """`pipeline.plan` and `pipeline.query` are rooms too, and imported by whatever needs them."""
    code = (
        "import pipeline as item, sys, importlib\n"
        "import pipeline.plan.plan\n"
        "from pipeline.query import views\n"
        "assert views.__name__ == 'pipeline.query.views'\n"
        "assert importlib.import_module('pipeline.plan').__path__\n"
        "assert item.plan.__module__ == item.query.__module__ == 'pipeline'\n"
        "assert not hasattr(item, 'Dags')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(item.__all__) >= {"Dag", "plan", "run", "open_store", "query", "features", "train"}
    assert all(hasattr(item, name) for name in item.__all__)
