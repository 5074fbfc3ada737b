"""A tag of open_clip's, from a hub or a URL: fetched, locked, and loaded as it was locked."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from pipeline.dag.graph import load, read
from pipeline.errors import UserError
from pipeline.models.clip.clip import ClipSpec
from pipeline.models.weights import checkpoints, open_clip_tags
from pipeline.setup.fetch import fetch
from tests.conftest import DEMO_MODELS
from tests.helpers.hub import FakeHub, files_of
from tests.models.conftest import CLIP_CONFIG

REPOSITORY = "lab/tiny-tag"


@pytest.fixture(scope="module")
def hub(clip_folder):
    hub = FakeHub()
    weights = (clip_folder / "open_clip_model.safetensors").read_bytes()
    hub.commit(REPOSITORY, {"open_clip_model.safetensors": weights, "x.bin": b"old"}, "mit")
    clip = files_of(DEMO_MODELS / "clip")
    words = {name: data for name, data in clip.items() if name.startswith("tokenizer")}
    config = clip["open_clip_config.json"].replace(b'"tokenizer.json"', b'"lab/words"')
    weights = clip["open_clip_model.safetensors"]
    hub.commit("lab/words", {**words, "config.json": b"{}", "model.safetensors": b"no"})
    foreign = {"open_clip_config.json": config, "open_clip_model.safetensors": weights}
    hub.commit("lab/foreign", foreign)
    yield hub
    hub.close()


@pytest.fixture
def tag(hub, tmp_path, monkeypatch):
    """open_clip knows a model `tiny` with a tag `lab` on our hub and a tag `url`; a DAG uses it."""
    import open_clip
    from open_clip import factory, pretrained

    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    (tmp_path / "tiny.json").write_text(json.dumps(CLIP_CONFIG["model_cfg"]))
    open_clip.add_model_config(tmp_path / "tiny.json")
    style = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic"}
    url = f"{hub.url}/{REPOSITORY}/resolve/main/open_clip_model.safetensors"
    tags = {"lab": {"hf_hub": f"{REPOSITORY}/", **style}, "url": {"url": url, **style}}
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny", tags)
    monkeypatch.setattr(checkpoints, "_asked", {})
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    places = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
    }
    for name, value in places.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    node = {"stage": "embed_images", "images": "images"}
    node["clip"] = {"model": "tiny", "pretrained": "lab"}
    path = tmp_path / "dag.yaml"
    dag = {"name": "tags", "corpus": {"root": "."}, "nodes": {"vectors": node}}
    path.write_text(yaml.safe_dump(dag))
    return path


def fetched(path, *overrides):
    (model,) = fetch(read(str(path), list(overrides), new_lock=True), lambda line: None)
    return model


def spec(path, *overrides) -> ClipSpec:
    return load(str(path), list(overrides)).nodes["vectors"].parameters.clip


def test_a_tag_is_locked_by_the_commit_of_its_repository(tag, hub, pictures, monkeypatch):
    before = load(str(tag)).nodes["vectors"]
    model = fetched(tag)
    (commit,) = hub.commits[REPOSITORY]
    assert (model.name, model.revision, model.licence) == ("tiny:lab", commit, "mit")
    after = load(str(tag)).nodes["vectors"]
    assert before.fingerprint != after.fingerprint
    expected = {"open_clip": "tiny", "pretrained": "lab", "revision": commit}
    assert after.recipe["models"] == [expected]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    clip = after.parameters.clip.load()
    # the transform is the tag's own, not open_clip's default
    assert clip.model.visual.preprocess_cfg["std"] == [0.25] * 3
    assert clip.width == 24
    assert fetched(tag).state == "present"


def test_the_tags_weights_are_the_locked_ones(tag, hub, monkeypatch):
    fetched(tag)
    locked = spec(tag).load().encode_texts(["a red ball"])[0]
    (first,) = hub.commits[REPOSITORY]
    changed = hub.commit(REPOSITORY, {"open_clip_model.safetensors": b"other"})
    try:
        assert fetched(tag).revision == first
        np.testing.assert_array_equal(spec(tag).load().encode_texts(["a red ball"])[0], locked)
        (upgraded,) = fetch(read(str(tag), None, new_lock=True), lambda line: None, upgrade=True)
        assert upgraded.revision == changed
        assert spec(tag).identity()["revision"] == changed
    finally:
        del hub.commits[REPOSITORY][changed]


def test_a_tag_at_a_url_is_locked_by_its_content(tag, hub):
    by_url = "vectors.clip.pretrained=url"
    model = fetched(tag, by_url)
    path = open_clip_tags.url_file("x/open_clip_model.safetensors")
    assert model.state == "fetched" and model.where == str(path)
    assert model.revision == open_clip_tags.sha256(path)
    assert spec(tag, by_url).identity()["revision"] == model.revision
    assert spec(tag, by_url).load().width == 24
    path.write_bytes(b"somebody else's")
    with pytest.raises(UserError, match="is not the one that the lock names"):
        spec(tag, by_url).load()


def test_a_tokenizer_in_another_repository_comes_along(tag, hub, monkeypatch):
    other = ("vectors.clip.pretrained=null", "vectors.clip.model=hf-hub:lab/foreign")
    hub.downloads.clear()
    assert fetched(tag, *other).state == "fetched"
    assert "lab/words/tokenizer.json" in hub.downloads
    assert "lab/words/model.safetensors" not in hub.downloads
    lock = yaml.safe_load((tag.parent / "dag.lock").read_text())["models"]["lab/foreign"]
    assert lock["also"] == {"lab/words": next(iter(hub.commits["lab/words"]))}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = f"vectors.clip.model=local-dir:{DEMO_MODELS / 'clip'}"
    same = spec(tag, other[0], folder).load().encode_texts(["a red ball"])[0]
    np.testing.assert_array_equal(spec(tag, *other).load().encode_texts(["a red ball"])[0], same)


def test_a_revision_that_the_dag_gives_is_fetched_beside_the_locked_one(tag, hub):
    (first,) = hub.commits[REPOSITORY]
    files = hub.commits[REPOSITORY][first]
    newest = hub.commit(REPOSITORY, {**files, "more": b"m"})
    try:
        assert fetched(tag).revision == newest
        by_hand = f"vectors.clip.model=tiny@{first}"
        model = fetched(tag, by_hand)
        assert (model.name, model.revision) == (f"tiny:lab@{first}", first)
        assert fetched(tag, by_hand).state == fetched(tag).state == "present"
        assert spec(tag).identity()["revision"] == newest
        assert spec(tag, by_hand).identity()["revision"] == first
    finally:
        del hub.commits[REPOSITORY][newest]


def test_no_room_on_the_disk_is_said_before_anything_is_downloaded(tag, hub, monkeypatch):
    hub.downloads.clear()
    monkeypatch.setattr(
        "pipeline.setup.fetch.shutil.disk_usage", lambda path: SimpleNamespace(free=10)
    )
    with pytest.raises(UserError, match=r"the disk has 0\.00 GB") as caught:
        fetched(tag)
    assert "HF_HOME" in caught.value.hint and "tiny:lab" in caught.value.what
    assert hub.downloads == [] and not (tag.parent / "dag.lock").exists()


def test_where_the_published_tags_lie():
    found = open_clip_tags.source("ViT-L-14", "openai")
    assert found.repository == "timm/vit_large_patch14_clip_224.openai"
    assert found.files == ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
