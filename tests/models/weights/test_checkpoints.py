from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.models.weights import checkpoints


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("local-dir:models/clip", "models/clip"),
        ("./models/clip", "models/clip"),
        ("/models/clip", "/models/clip"),
        ("Salesforce/blip-image-captioning-large", None),
        ("hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K", None),
        ("ViT-B-32", None),
    ],
)
def test_which_names_are_folders(name, folder):
    assert checkpoints.local_folder(name) == (None if folder is None else Path(folder))


def test_changed_files_change_the_identity(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = checkpoints.identity(str(tmp_path), "config.json")
    assert before == checkpoints.identity(f"local-dir:{tmp_path}", "config.json")
    (tmp_path / "config.json").write_text("{} ")
    assert checkpoints.identity(str(tmp_path), "config.json") != before


def test_unchanged_files_are_hashed_once(tmp_path, monkeypatch):
    (tmp_path / "weights").write_text("1")
    calls = []
    monkeypatch.setattr(checkpoints, "hash_folder", lambda folder: calls.append(folder) or "h")
    for _ in range(3):
        assert checkpoints.identity(str(tmp_path), "config.json") == {"local": "h"}
    assert len(calls) == 1


def test_the_revision_is_the_commit_in_the_local_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    reference = tmp_path / "models--some--model" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text("0123abcd\n")
    assert checkpoints.identity("hf-hub:some/model", "open_clip_config.json") == {
        "hub": "some/model",
        "revision": "0123abcd",
    }


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such model folder"):
        checkpoints.identity(str(tmp_path / "gone"), "config.json")


COMMIT = "0123456789" * 4


def test_a_pin_is_the_revision_and_needs_no_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = checkpoints.identity(f"hf-hub:some/model@{COMMIT}", "open_clip_config.json")
    assert found == {"hub": "some/model", "revision": COMMIT}


@pytest.mark.parametrize("name", ["some/model@main", "some/model@v1.0", "some/model@abc123"])
def test_a_branch_is_no_pin(name):
    with pytest.raises(UserError, match="does not end in a revision"):
        checkpoints.split_pin(name)


def test_a_folder_may_have_an_at_sign():
    assert checkpoints.split_pin("./models/a@b") == ("./models/a@b", None)


def test_a_pinned_model_is_the_folder_of_its_snapshot(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    name = f"some/model@{COMMIT}"
    with pytest.raises(UserError, match="locked revision 012345678901 is not on this machine"):
        checkpoints.located("captioner", name, "config.json")
    snapshot = checkpoints.snapshot("some/model", COMMIT)
    snapshot.mkdir(parents=True)
    for file in ("config.json", "model.safetensors"):
        (snapshot / file).write_text("{}")
    assert checkpoints.located("captioner", name, "config.json") == (str(snapshot), "main")


def test_shards_are_weights_only_together(tmp_path):
    shards = [f"model-{i}-of-2.safetensors" for i in (1, 2)]
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "%s", "b": "%s"}}' % tuple(shards)  # noqa: UP031
    )
    (tmp_path / shards[0]).write_text("")
    assert not checkpoints.has_weights(tmp_path)
    (tmp_path / shards[1]).write_text("")
    assert checkpoints.has_weights(tmp_path)


def test_a_hub_out_of_reach_is_asked_once(monkeypatch):
    asked = []

    def unreachable(self, name, **_):
        asked.append(name)
        raise ConnectionError("no network")

    monkeypatch.setattr(checkpoints, "_asked", {})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    assert not checkpoints.hub_answers("a/b") and not checkpoints.hub_answers("c/d")
    assert asked == ["a/b"]
