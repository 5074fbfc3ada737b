"""A store is asked, and heads are trained on it, where the models that it was made with are not."""

import json
import shutil

import pytest

import pipeline
from pipeline.dag.graph import load
from pipeline.errors import UserError
from pipeline.shipped import folder
from pipeline.store.parts import Store
from tests.helpers.demo import LIMITED, QUICK

SAID = "not on this machine: taken for those that the store was made with"


@pytest.fixture
def away(part_of_demo, tmp_path):
    """A copy of the demo's DAG whose models lie in a folder that is not there; and of its store."""
    made, _ = part_of_demo
    shutil.copytree(made / "store", tmp_path / "store")
    text = (folder("dags") / "demo.yaml").read_text()
    text = text.replace("../data/demo/models", "./away")
    text = text.replace("../data/demo/corpus", str(folder("data").resolve() / "demo" / "corpus"))
    (tmp_path / "copy.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "words", [("query", "by_generator"), ("status",), ("verify",), ("query", "run_metrics")]
)
def test_a_store_answers_as_where_it_was_made(away, part_of_demo, item, words):
    made, _ = part_of_demo
    command, *more = words
    done = item(command, "copy.yaml", *more, *LIMITED, cwd=away)
    assert (done.returncode, SAID in done.stderr) == (0, True), done.stderr
    assert done.stdout == item(command, "demo", *more, *LIMITED, cwd=made).stdout


def test_heads_are_trained_and_reports_written(away, item):
    for command in ("train", "report", "audit"):
        quick = QUICK if command == "train" else ()
        done = item(command, "copy.yaml", *LIMITED, *quick, cwd=away)
        assert (done.returncode, SAID in done.stderr) == (0, True), done.stderr


@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_computes_needs_them(away, item, command):
    done = item(command, "copy.yaml", *LIMITED, cwd=away)
    assert done.returncode == 2 and "there is no such model folder" in done.stderr


def test_python_is_told_in_the_log(away, caplog):
    rows = pipeline.open_store(str(away / "copy.yaml"), away / "store", ["corpus.limit=96"])
    assert rows.sql("select count(*) from captions").fetchall() == [(96,)]
    (record,) = caplog.records
    assert record.getMessage().endswith(SAID)


def test_only_models_that_are_called_so_and_what_was_made_so_fits(away):
    def loaded(*overrides):
        return load(str(away / "copy.yaml"), [*overrides], Store(away / "store").recipes)

    assert {"captions", "objects", "image_embeddings"} < {*loaded().absent}
    assert loaded().nodes["captions"].fingerprint == load("demo").nodes["captions"].fingerprint
    for other in ("captions.model=./elsewhere", "captions.num_beams=2"):
        with pytest.raises(UserError, match="no such model folder"):
            loaded(other)


def test_a_file_that_is_here_and_cannot_be_used_is_no_model_elsewhere(away):
    (away / "mine.csv").write_text("sha256,caption\n" + "0" * 64 + ",a dog\n")
    node = "{stage: provided, images: images, file: ./mine.csv, key: sha256}"
    text = (away / "copy.yaml").read_text()
    (away / "copy.yaml").write_text(text.replace("nodes:", f"nodes:\n  mine: {node}", 1))
    store = Store(away / "store")
    made = load(str(away / "copy.yaml"), ["corpus.limit=96"], store.recipes)
    store.open_node(made.nodes["mine"], made.name)
    (away / "mine.csv").write_text("sha256,words\n")  # its column is gone
    with pytest.raises(UserError, match="caption"):
        load(str(away / "copy.yaml"), [], store.recipes)
    (away / "mine.csv").unlink()
    found = load(str(away / "copy.yaml"), [], store.recipes)
    assert "mine" in found.absent
    assert found.nodes["mine"].fingerprint == made.nodes["mine"].fingerprint


def test_of_several_none_is_taken(away):
    (recipe,) = away.glob("store/caption/*/_recipe.json")
    twin = recipe.parents[1] / "0123456789abcdef"
    twin.mkdir()
    about = json.loads(recipe.read_text())
    (twin / recipe.name).write_text(json.dumps({**about, "models": [{"local": "0" * 64}]}))
    with pytest.raises(UserError, match="no such model folder"):
        load(str(away / "copy.yaml"), [], Store(away / "store").recipes)
