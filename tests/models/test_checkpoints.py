from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.models import checkpoints


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
