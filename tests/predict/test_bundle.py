"""An export judges as the run does, without the store; read from anybody, it harms nobody."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from pipeline.dag.graph import load
from pipeline.errors import UserError
from pipeline.predict import bundle, found_run
from pipeline.predict.detector import Detector
from pipeline.shipped import folder
from tests.conftest import DEMO_MODELS, draw, make_dag


@pytest.fixture(scope="module")
def exported(world, tmp_path_factory):
    """The run `cross` as a folder."""
    out = tmp_path_factory.mktemp("exported") / "cross"
    meant = found_run.meant("cross", str(world.dag), world.store)
    assert bundle.export(load(str(world.dag)), meant, out) == []  # bundled models are everywhere
    return out


@pytest.fixture
def copy(exported, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def zipped(place: Path, out: Path) -> Path:
    with zipfile.ZipFile(out, "w") as archive:
        for path in place.iterdir():
            archive.write(path, path.name)
    return out


def refused(place: Path) -> str:
    with pytest.raises(UserError) as caught:
        Detector.load(place)
    assert "item-export-" not in str(caught.value)
    assert len(caught.value.what.splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("as_zip", [False, True])
def test_an_export_gives_the_run_s_verdicts_without_its_store(
    world, exported, tmp_path, monkeypatch, as_zip
):
    own = Detector.load("cross", str(world.dag), world.store)
    place = zipped(exported, tmp_path / "x.zip") if as_zip else exported
    monkeypatch.chdir(tmp_path)  # where there is neither DAG nor store
    other = Detector.load(place)
    image = draw(tmp_path / "a.jpg", 500)
    (mine,), (theirs,) = own(image).to_pylist(), other(image).to_pylist()
    assert mine == theirs
    assert mine["percentile"] is not None
    assert os.listdir(tmp_path) in (["a.jpg"], ["x.zip", "a.jpg"], ["a.jpg", "x.zip"])
    assert Detector.load(place, method="linear probe").meant.reading.method == "linear probe"


def test_what_is_in_it_names_no_place_of_this_machine(world, exported):
    names = {path.name for path in exported.iterdir()}
    assert {"export.json", "dag.yaml", "head.json", "head.safetensors", "model_card.md"} <= names
    assert "predictions.parquet" not in names
    for name in ("export.json", "dag.yaml", "head.json"):
        text = (exported / name).read_text()
        for place in (world.folder, folder("data").resolve()):
            assert str(place) not in text
    raw = yaml.safe_load((exported / "dag.yaml").read_text())
    assert raw["nodes"]["captions"]["model"] == "item:data/demo/models/captioner"
    assert raw["nodes"]["regions"]["clip"]["model"] == "local-dir:item:data/demo/models/clip"


def test_a_model_s_own_folder_is_named_and_missed_elsewhere(world, tmp_path, item):
    models = Path(shutil.copytree(DEMO_MODELS, tmp_path / "models"))
    dag = make_dag(tmp_path / "other.yaml", world.corpus, models=models, name="small")
    meant = found_run.meant("cross", str(dag), world.store)  # the same content elsewhere
    needs = bundle.export(load(str(dag)), meant, tmp_path / "own.zip")
    assert any(str(models / "captioner") in line and "captions.model" in line for line in needs)
    moved = tmp_path / "moved"
    models.rename(moved)
    assert "there is no such model folder" in refused(tmp_path / "own.zip")
    found = {"captions.model": "captioner", "objects.model": "parser"}
    found |= {
        f"{node}.clip.model": "clip"
        for node in ("regions", "image_embeddings", "text_embeddings", "object_embeddings")
    }
    given = [f"{key}={moved / name}" for key, name in found.items()]
    given = [one.replace("clip.model=", "clip.model=local-dir:") for one in given]
    assert Detector.load(tmp_path / "own.zip", overrides=given).meant.trained.name == "cross"
    (moved / "captioner" / "generation_config.json").write_text("{}")
    with pytest.raises(UserError, match="made from") as caught:
        Detector.load(tmp_path / "own.zip", overrides=given)
    assert "'captions' is" in str(caught.value)


def test_a_place_that_is_taken_is_left_alone(world, exported):
    before = sorted(os.listdir(exported.parent))
    meant = found_run.meant("cross", str(world.dag), world.store)
    with pytest.raises(UserError, match="something of this name already"):
        bundle.export(load(str(world.dag)), meant, exported)
    with pytest.raises(UserError, match="no such folder"):
        bundle.export(load(str(world.dag)), meant, exported / "no" / "such" / "x.zip")
    assert sorted(os.listdir(exported.parent)) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("export.json", "{"),
        ("export.json", "[]"),
        ("export.json", "[" * 100_000),
        ("export.json", '{"format": 99}'),
        ("export.json", '{"format": 1}'),
        ("dag.yaml", "nodes: !!python/object/apply:os.system [touch owned]"),
        ("dag.yaml", "name: x\ncorpus: {root: .}\nnodes: {a: {stage: nonsense}}"),
        ("dag.yaml", "name: x\ncorpus: {root: .}\nnodes: {}"),
        ("head.json", "{}"),
        ("method-2.json", '{"hidden": [1e300]}'),
        ("head.safetensors", "cos\nsystem\n(S'touch owned'\ntR."),
    ],
)
def test_a_damaged_or_hostile_file_is_one_error(copy, monkeypatch, tmp_path, name, text):
    monkeypatch.chdir(tmp_path)
    method = json.loads((copy / "export.json").read_text())["method"]
    (copy / name).write_text(text)
    if name.startswith(("head", "method")):  # each method has its own file
        stem = name.partition(".")[0]
        about = json.loads((copy / "export.json").read_text())
        own = {"head": "global+local+image", "method-2": "image"}[stem]
        (copy / "export.json").write_text(json.dumps({**about, "method": own}))
    assert method
    assert refused(copy)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"train": "x", "evil": 1}},
        {"choices": {"global": {"threshold": "a"}}},
        {"choices": 3},
        {"made_from": {"captions": 3}},
        {"method": "no such"},
        {"method": ["global"]},
        {"reals": {"global": {"count": 1, "distances": [2, 1]}}},
        {"reals": {"global": {"count": 1, "distances": [None, "x"]}}},
        {"run_id": None},
    ],
)
def test_what_the_json_says_is_checked(copy, change):
    about = json.loads((copy / "export.json").read_text())
    (copy / "export.json").write_text(json.dumps({**about, **change}))
    refused(copy)


def test_a_missing_file_and_no_export_at_all(copy, tmp_path):
    (copy / "dag.yaml").unlink()
    assert "dag.yaml is missing" in refused(copy)
    assert "no such export" in refused(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("no zip")
    assert "no export that can be read" in refused(tmp_path / "text.zip")
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    assert "export.json is missing" in refused(tmp_path / "empty.zip")


def test_a_zip_writes_nothing_outside_and_not_more_than_it_says(exported, tmp_path, monkeypatch):
    place = zipped(exported, tmp_path / "slip.zip")
    with zipfile.ZipFile(place, "a") as archive:
        for name in (
            "../owned",
            str(tmp_path / "absolute"),
            "sub/head.json",
            "head.json/../../owned",
        ):
            archive.writestr(name, "x")
    Detector.load(place)
    assert not (tmp_path / "owned").exists()
    assert not (tmp_path / "absolute").exists()
    monkeypatch.setattr(bundle, "_MOST", 1000)
    assert "more than 1,000 bytes" in refused(place)


def test_links_and_pipes_in_a_folder_are_not_waited_for(copy):
    (copy / "head.json").unlink()
    os.mkfifo(copy / "head.json")
    assert "head.json is no file" in refused(copy)


def test_a_model_s_own_code_is_run_for_nobody_who_did_not_ask(copy):
    raw = yaml.safe_load((copy / "dag.yaml").read_text())
    raw["nodes"]["captions"]["trust_remote_code"] = True
    (copy / "dag.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    assert "would run code that comes with its model" in refused(copy)
    with pytest.raises(UserError, match="made from"):  # asked for, it is another node
        Detector.load(copy, overrides=["captions.trust_remote_code=true"])
