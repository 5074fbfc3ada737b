import hashlib
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.models.weights.hashing import hash_folder


def _folder(root: Path) -> Path:
    (root / "tagger").mkdir(parents=True)
    (root / "config.cfg").write_text("[nlp]\n")
    (root / "tagger" / "model").write_bytes(b"\x00\x01")
    return root


def test_hash_is_the_documented_one(tmp_path):
    total = hashlib.sha256()
    for name, content in (("config.cfg", b"[nlp]\n"), ("tagger/model", b"\x00\x01")):
        total.update(
            len(name).to_bytes(8, "big") + name.encode() + hashlib.sha256(content).digest()
        )
    assert hash_folder(_folder(tmp_path / "a")) == total.hexdigest()


def test_hash_does_not_depend_on_the_place(tmp_path):
    assert hash_folder(_folder(tmp_path / "a")) == hash_folder(str(_folder(tmp_path / "b" / "c")))


def test_hash_changes_with_contents_and_names(tmp_path):
    folder = _folder(tmp_path / "a")
    hashes = {hash_folder(folder)}
    (folder / "tagger" / "model").write_bytes(b"\x00\x02")
    hashes.add(hash_folder(folder))
    (folder / "tagger" / "model").rename(folder / "tagger" / "modal")
    hashes.add(hash_folder(folder))
    (folder / "more").write_bytes(b"")
    hashes.add(hash_folder(folder))
    assert len(hashes) == 4


def test_readme_hidden_files_and_caches_do_not_count(tmp_path):
    folder = _folder(tmp_path / ".hidden_parent")
    before = hash_folder(folder)
    (folder / "README.md").write_text("card")
    (folder / ".gitattributes").write_text("x")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "file").write_text("x")
    (folder / "tagger" / "__pycache__").mkdir()
    (folder / "tagger" / "__pycache__" / "a.pyc").write_text("x")
    assert hash_folder(folder) == before


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_missing_or_empty_folder(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        hash_folder(tmp_path / name)
