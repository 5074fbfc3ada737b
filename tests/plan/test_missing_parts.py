"""A store of which something is not computed yet: what commands say, and `--partial`."""

import json

import pytest

from pipeline.dag.experiment import Experiment
from pipeline.dag.graph import load
from pipeline.errors import UserError
from pipeline.head.report.run_table import render
from pipeline.head.rows.selection import select
from pipeline.head.run import run_experiment
from pipeline.plan.missing_parts import Gap, gaps
from pipeline.query.open_store import connect
from pipeline.store.parts import Store
from tests.benchmarks.million_store import write

LIGHT = {"bootstrap": 0, "neighbours": 1, "head": {"hidden": [], "epochs": 1, "least_steps": 1}}
# of 300 training images one half is in the second part, of 75 test images a third
SIDES = {
    "train": "generator in ('adm', 'sdv14') and split = 'train'",
    "test": "generator = 'vqdm' and split = 'test'",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four parts; `features` lacks the second one, `image_embeddings` the last."""
    folder = tmp_path_factory.mktemp("gaps")
    graph = load(str(write(folder, 2_000, width=64, processes=1, part_size=501, variants=())))
    cache = Store(folder / "store")
    for name, number in (("features", 1), ("image_embeddings", 3)):
        part = cache.parts(graph.nodes[name])[number]
        part.rename(part.with_name(f"taken-{part.name}"))
    return graph, cache


@pytest.fixture
def connection(made):
    return connect(*made)


def test_gaps_count_parts_and_images(made):
    found = gaps(*made)
    assert found == [
        Gap("image_embeddings", 1, 4, 498, 2_000),
        Gap("features", 1, 4, 500, 2_000),
    ]
    assert str(found[0]) == (
        "image_embeddings is not complete: 1 of 4 parts (498 of 2,000 images) are missing"
    )


def test_a_complete_store_has_none(tmp_path):
    graph = load(str(write(tmp_path, 100, width=64, processes=1)))
    assert gaps(graph, Store(tmp_path / "store")) == []


def test_query_answers_and_warns_beside_the_answer(made, item, tmp_path):
    graph, cache = made
    sql = "select count(*) as n from features"
    arguments = ("query", graph.path, sql, "--store", cache.root, "--format", "json")
    answer = item(*arguments, cwd=tmp_path)
    assert json.loads(answer.stdout) == [{"n": 1500}]
    assert answer.stderr.splitlines() == ["warning: " + "; ".join(map(str, gaps(graph, cache)))]


def test_train_refuses_with_the_rows_missing_in_each_node(connection):
    with pytest.raises(UserError) as caught:
        select(connection, Experiment(**SIDES), "x")
    assert caught.value.what == (
        "150 of 300 selected images are not computed yet: rows missing in features 150"
    )
    assert "item train DAG --partial" in caught.value.hint
    with pytest.raises(UserError, match="missing in image_embeddings 25, features 150"):
        select(connection, Experiment(train="generator = 'adm' and split <> 'test'"), "x")


def test_images_that_are_computed_need_no_partial(connection):
    select(
        connection,
        Experiment(
            train="generator = 'sdv14' and split = 'train'",
            test="generator = 'adm' and split = 'test'",
        ),
        "x",
    )


def test_partial_goes_on_and_says_so(made, connection, item, tmp_path):
    partial = Experiment(**SIDES, **LIGHT, partial=True)
    result = run_experiment(connection, partial, "x", tmp_path, {})
    assert sum(result.trained_on) + sum(result.validated_on) == 150
    notes = [note for note in result.notes if "partial" in note]
    assert notes == [
        "training: partial: 150 of 300 images are computed",
        "test: partial: 51 of 75 images are computed",
    ]
    assert f"\n  {notes[0]}\n" in render(result)
    card = (result.folder / "model_card.md").read_text()
    assert "- train: partial: 150 of 300 images are computed\n" in card


def test_partial_and_full_runs_are_two(made, connection, tmp_path):
    graph, cache = made
    partial = run_experiment(
        connection, Experiment(**SIDES, **LIGHT, partial=True), "x", tmp_path, {}
    )
    taken = list(cache.root.glob("*/*/taken-*"))
    for part in taken:
        part.rename(part.with_name(part.name.removeprefix("taken-")))
    try:
        full = run_experiment(
            connect(graph, cache), Experiment(**SIDES, **LIGHT), "x", tmp_path, {}
        )
    finally:
        for part in taken:
            part.with_name(part.name.removeprefix("taken-")).rename(part)
    assert full.run_id != partial.run_id
    assert not [note for note in full.notes if "partial" in note]


def test_train_partial_on_the_command_line(made, item, tmp_path):
    graph, cache = made
    settings = [
        f"experiments.one_generator.{key}={value}"
        for key, value in {
            "bootstrap": 0,
            "neighbours": 1,
            "train": SIDES["train"],
            "test": SIDES["test"],
        }.items()
    ]
    sets = [word for one in settings for word in ("--set", one)]
    sets += ["--set", "experiments.one_generator.validation=null"]
    arguments = ("train", graph.path, "one_generator", *sets, "--store", cache.root)
    refused = item(*arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert "missing in features 150" in refused.stderr
    done = item(*arguments, "--partial", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "training: partial: 150 of 300 images are computed" in done.stdout


def test_partial_has_nothing_to_go_on_with_where_nothing_is_computed(made, connection):
    gone = connect(*made)
    gone.execute("create or replace temp view features as from store.features where false")
    with pytest.raises(UserError, match="missing in ") as caught:
        select(gone, Experiment(**SIDES, partial=True), "x")
    assert "--partial" not in caught.value.hint
