"""The SQL of experiments is checked before any model is loaded, by `run`, `plan` and `doctor`."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from pipeline import tables
from pipeline.cli.app import app
from pipeline.dag.graph import load, read
from pipeline.engine.queues import index
from pipeline.errors import UserError
from pipeline.head.rows.bind import bind, bind_draft
from pipeline.setup.doctor import examine
from pipeline.store.contents import asked
from pipeline.store.parts import Store, write_part
from pipeline.store.snapshot import compare
from tests.conftest import draw
from tests.helpers.corpora import found_in

RIGHT = {"train": "generator = 'gan'", "test": "generator = 'flow'"}
# name -> (what is changed in RIGHT, the key at fault, words of the message)
FAULTS = {
    "column": ({"train": "generatr = 'gan'"}, "train", ["did you mean 'generator'?"]),
    "feature": ({"test": "num_object > 1"}, "test", ["did you mean 'num_objects'?"]),
    "syntax": ({"train": "generator = = 'gan'"}, "train", ["Parser Error", "what follows"]),
    "statements": ({"train": "true); drop table x; --"}, "train", []),
    "type of a feature": ({"train": "num_objects > 'many'"}, "train", ["Conversion Error"]),
    "type of a fact": ({"train": "width > 'wide'"}, "train", ["Conversion Error"]),
    "nothing": ({"train": "generator = 'gann'"}, "train", ["no usable image", "'gan'?"]),
    "nothing tested": ({"test": "split = 'train'"}, "test", ["no usable image"]),
    "one class": ({"train": "label = 0"}, "train", ["are real", "widen"]),
    "overlap": ({"train": "split = 'test'"}, "", ["images in both training and test"]),
    "seen": (
        {"train": "generator = 'gan' and uri not like '%/0.jpg'", "test": "uri like '%/0.jpg'"},
        "",
        ["fakes of gan are tested", "allow_overlap"],
    ),
    "variant": ({"variant": "jpeg_50"}, "variant", ["no variant 'jpeg_50'", "corpus"]),
    "preset": ({"preset": "figure4"}, "preset", ["nine variants"]),
    "sweep": ({"sweep": {"test": ["generator = 'flow'", "split = 'x'"]}}, "test", ["no usable"]),
    "known side": (
        {"train": "num_objects > 0", "test": "generator = 'no'"},
        "test",
        ["no usable image", "no file has generator 'no'"],
    ),
}


@pytest.fixture
def dag(write_dag, fake_models):
    """Writes a DAG with one experiment; its models cannot be loaded."""

    def write(**changes):
        path = write_dag(models=fake_models)
        raw = yaml.safe_load(path.read_text())
        raw["experiments"] = {"one": {**RIGHT, **changes}}
        path.write_text(yaml.safe_dump(raw))
        return path

    return write


@pytest.fixture
def item_here(tmp_path, monkeypatch):
    """Runs a command in this process; returns its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        answer = CliRunner().invoke(app, [str(word) for word in words])
        assert answer.exception is None or isinstance(answer.exception, SystemExit)
        return answer.exit_code, answer.output

    return run


@pytest.fixture
def no_model(monkeypatch):
    """Fails the test when a stage is asked to load its models."""

    def fail(*arguments, **options):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("pipeline.models.get", fail)


def _names(output, path, key):
    assert f"{path}: experiments.one" + (f".{key}" if key else "") in output
    assert "Traceback" not in output


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_by_each_command(dag, item_here, tmp_path, fault):
    changes, key, words = FAULTS[fault]
    path = dag(**changes)
    answers = [item_here("plan", path), item_here("run", path, "--inline")]
    store = Store(tmp_path / "store")
    assert store.parts(load(str(path)).nodes["listing"])  # bound to this, and before anything else
    assert not store.parts(load(str(path)).nodes["captions"])
    answers.append(item_here("plan", path))  # now from the listing of the store
    for code, output in answers:
        assert code == 2
        _names(output, path, key)
        assert [word for word in words if word not in output] == []
    for place in ("store", "empty"):
        checks = {c.what: c for c in examine(str(path), None, tmp_path / place, load=False)}
        found = checks["experiments"]
        assert not found.ok
        _names(found.found, path, key)
        assert [word for word in words if word not in found.found + found.hint] == []


def test_a_file_that_is_no_head_is_found_by_each_command(dag, item_here, tmp_path):
    """As a wrong predicate is: not after days of captioning."""
    (tmp_path / "fc.pth").touch()
    path = dag(foreign={"UnivFD": str(tmp_path / "fc.pth")})
    for words in (("plan", path), ("run", path, "--inline")):
        code, output = item_here(*words)
        assert (code, "no file of tensors alone" in output) == (2, True), output
    assert not Store(tmp_path / "store").parts(load(str(path)).nodes["captions"])
    checks = {c.what: c for c in examine(str(path), None, tmp_path / "store", load=False)}
    assert "no file of tensors alone" in checks["experiments"].found


@pytest.mark.parametrize(
    ("changes", "all_known"),
    [
        ({}, True),
        ({"train": "generator = 'gan' and num_objects > 0"}, False),
        ({"test": "generator = 'flow' and width > 10000"}, False),  # not known from paths
        ({"train": "image_id in (select image_id from captions where caption > 'd')"}, False),
        ({"test": "generator = 'flow' and generator <> 'width'"}, True),  # a text is no column
        ({"preset": "train_x_test", "train": None, "test": None}, True),
        ({"preset": "leave_one_out", "train": "num_objects > 2", "test": None}, False),
    ],
)
def test_a_right_dag_passes(dag, item_here, tmp_path, changes, all_known):
    for i in range(12 if "preset" in changes else 0):  # which reads the split train
        name = ("gan/0_real", "gan/1_fake", "flow/0_real", "flow/1_fake")[i % 4]
        draw(tmp_path / "corpus" / "train" / name / f"{i}.jpg", 900 + i)
    path = dag(**changes)
    code, output = item_here("plan", path)
    assert code == 0, output
    checks = {c.what: c for c in examine(str(path), None, tmp_path / "store", load=False)}
    assert checks["experiments"].ok, checks["experiments"].found
    assert ("not known yet in one" in checks["experiments"].found) is not all_known


def test_what_is_selected_by_facts_is_checked_once_they_are_listed(dag, item_here):
    path = dag(test="generator = 'flow' and width > 10000")
    assert item_here("plan", path)[0] == 0
    code, output = item_here("run", path, "--inline")
    assert code == 2 and "the predicate selects no usable image" in output


def test_until_a_node_no_experiment_is_asked(dag, item_here):
    assert item_here("run", dag(train="generatr = 'x'"), "--inline", "--until", "images")[0] == 0


def test_files_stand_for_made_up_ids_in_messages(dag):
    path = dag(train="split = 'test'")
    graph = load(str(path))
    store = Store(path.parent / "none")
    with pytest.raises(UserError, match=r"such as .*flow/.*\.jpg"):
        bind(graph, store, compare(graph, store, index.find(graph, store)))


def test_without_its_models_a_dag_is_bound_to_paths(dag, tmp_path):
    path = dag(train="generatr = 'x'")
    gone = ["captions.model=none"]
    checks = {c.what: c for c in examine(str(path), gone, tmp_path / "store", load=False)}
    assert not checks["experiments"].ok and "generatr" in checks["experiments"].found
    draft = read(str(dag()), gone)
    assert bind_draft(draft, found_in(draft.file.corpus.root).files) == []


def test_computed_features_decide(dag, item_here, tmp_path, monkeypatch):
    """Once every part is there, a predicate over features is checked by what it selects."""
    path = dag(train="generator = 'gan' and num_objects > 5")
    graph, store = load(str(path)), Store(tmp_path / "store")
    assert item_here("run", path, "--inline", "--until", "images")[0] == 0
    none = compare(graph, store, index.find(graph, store))
    assert not none and bind(graph, store, none) == ["one"]
    for one in asked(graph, store):
        ids = one.ids
        for node in graph.computed:
            columns = {"image_id": ids} if "image_id" in tables.COLUMNS[node.stage.output] else {}
            if node.name == "features":
                columns["num_objects"] = [1] * len(ids)
            width = 4 if tables.EMBEDDING in tables.COLUMNS[node.stage.output].values() else None
            store.open_node(node, "small")
            made_from = {
                input_: store.commit(graph.nodes[name].folder, one.part)
                for input_, name in node.inputs.items()
            }
            facts = {"inputs": json.dumps(made_from), "rows_in": len(ids), "transient": 0}
            write_part(
                store.folder(node) / one.part,
                tables.build(node.stage.output, columns, width),
                facts,
            )
    with pytest.raises(UserError, match="the predicate selects no usable image"):
        bind(graph, store, none)
    assert bind(load(str(dag(train="generator = 'gan' and num_objects = 1"))), store, none) == []


@pytest.mark.parametrize("shipped", ["demo", "demo-robustness"])
def test_the_shipped_dags_pass_on_an_empty_store(item_here, shipped):
    code, output = item_here("plan", shipped)
    assert code == 0, output
