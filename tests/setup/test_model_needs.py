from types import SimpleNamespace

import yaml

from pipeline.dag.graph import read
from pipeline.setup.model_needs import _need, hub_models, needs, unpinned_lines

COMMIT = "a" * 40


def dag(tmp_path):
    clip = {"model": "ViT-L-14", "pretrained": "openai"}
    nodes = {
        "captions": {"stage": "caption", "images": "images", "model": "lab/blip"},
        "objects": {"stage": "parse", "captions": "captions", "model": "en_not_installed"},
        "vectors": {"stage": "embed_images", "images": "images", "clip": clip},
        "texts": {"stage": "embed_texts", "captions": "captions", "objects": "objects"},
    }
    nodes["texts"]["clip"] = {**clip, "precision": "bf16"}
    path = tmp_path / "dag.yaml"
    path.write_text(yaml.safe_dump({"name": "x", "corpus": {"root": "/none"}, "nodes": nodes}))
    return path


def test_each_model_once_whoever_needs_it_and_none_has_to_be_there(tmp_path):
    found = {need.key: need for need in needs(read(str(dag(tmp_path))))}
    assert set(found) == {"lab/blip", "ViT-L-14:openai", "en_not_installed"}
    assert set(found["ViT-L-14:openai"].nodes) == {"vectors", "texts"}
    assert found["en_not_installed"].kind == "spacy"
    assert found["lab/blip"].loaders == {"transformers"}


def test_what_a_lock_or_the_dag_names_is_pinned(tmp_path):
    path = str(dag(tmp_path))
    assert len(unpinned_lines(read(path))) == 2
    assert len(unpinned_lines(read(path, [f"captions.model=lab/blip@{COMMIT}"]))) == 1
    models = {"lab/blip": {"revision": COMMIT, "files": {}}}
    models["ViT-L-14:openai"] = {"hub": "t/x", "revision": COMMIT, "files": {}}
    (tmp_path / "dag.lock").write_text(yaml.safe_dump({"format": 1, "models": models}))
    draft = read(path)
    assert unpinned_lines(draft) == []
    assert {need.pin for need in hub_models(draft)} == {COMMIT}
    assert {need.key for need in hub_models(draft)} == set(models)


def test_code_of_a_checkpoint_counts_only_when_it_is_trusted():
    trusted = SimpleNamespace(model="lab/own", trust_remote_code=True)
    assert _need("captions", trusted).loaders == {"transformers", "code"}
    assert not _need("captions", SimpleNamespace(model="lab/own")).remote_code


def test_what_is_no_model_is_known_by_its_file():
    found = _need("captions", SimpleNamespace(file="/data/captions.csv"))
    assert (found.key, found.kind, found.pin) == ("/data/captions.csv", "file", None)
