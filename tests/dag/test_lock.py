import pytest

from pipeline.dag import lock as locks
from pipeline.dag.lock import Lock, Locked
from pipeline.errors import UserError
from pipeline.shipped import folder

COMMIT, SHA = "c" * 40, "5" * 64


@pytest.mark.parametrize(
    ("model", "tag", "expected"),
    [
        ("a/b", None, "a/b"),
        ("hf-hub:a/b", None, "a/b"),
        ("ViT-L-14", "openai", "ViT-L-14:openai"),
        ("local-dir:models/a", None, None),
        ("./models/a", None, None),
    ],
)
def test_names_in_a_lock(model, tag, expected):
    assert locks.key(model, tag) == expected


def test_what_is_written_is_read(tmp_path):
    written = Lock(
        tmp_path / "a.lock",
        {
            "a/b": Locked(revision=COMMIT, licence="mit", files={"x": 3}, loaders=("open_clip",)),
            "RN50:cc12m": Locked(url="https://x/y.pt", sha256=SHA, files={"y.pt": 5}),
        },
    )
    locks.write(written)
    assert locks.read(written.path) == written
    text = written.path.read_text()
    assert text.startswith("# Written by") and "licence: not stated" in text
    assert [path.name for path in tmp_path.iterdir()] == ["a.lock"]


def test_it_lies_beside_the_dag_and_a_shipped_one_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locks.place(tmp_path / "dags" / "my.yaml", None) == tmp_path / "dags" / "my.lock"
    assert locks.place(folder("dags") / "demo.yaml", None) == tmp_path / "demo.lock"
    assert locks.place(folder("dags") / "demo.yaml", "/x/y.lock").as_posix() == "/x/y.lock"


def test_a_missing_lock_is_empty_unless_it_is_asked_for(tmp_path):
    assert locks.read(tmp_path / "a.lock").models == {}
    with pytest.raises(UserError, match="there is no such lock file"):
        locks.read(tmp_path / "a.lock", expected=True)


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "",
        "format: 2\nmodels: {}",
        "format: 1\nmodels: {a: {files: {}, revision: main}}",
        "format: 1\nmodels: {a: {files: {}, colour: red}}",
    ],
)
def test_a_damaged_lock_is_an_error_never_an_empty_one(tmp_path, text):
    path = tmp_path / "a.lock"
    path.write_text(text)
    with pytest.raises(UserError, match="the lock file cannot be used") as caught:
        locks.read(path)
    assert caught.value.where == str(path)


def test_only_what_the_lock_names_is_pinned(tmp_path):
    blip, tag = Locked(revision=COMMIT, files={}), Locked(sha256=SHA, url="u", files={})
    held = Lock(tmp_path / "a.lock", {"a/blip": blip, "ViT-L-14:openai": tag})
    raw = {
        "model": "a/blip",
        "clip": {"model": "ViT-L-14", "pretrained": "openai", "precision": "bf16"},
        "others": [{"model": "a/other"}, {"model": "ViT-L-14", "pretrained": "laion"}],
        "local": {"model": "./a/blip"},
        "by hand": {"model": f"a/blip@{'d' * 40}"},
    }
    pinned = locks.pinned(held, raw)
    assert pinned == raw | {
        "model": f"a/blip@{COMMIT}",
        "clip": {**raw["clip"], "model": f"ViT-L-14@{SHA}"},
    }
    assert raw["model"] == "a/blip"


def test_a_lock_that_cannot_be_written_says_where_else(tmp_path):
    with pytest.raises(UserError, match="cannot be written") as caught:
        locks.write(Lock(tmp_path / "none" / "a.lock"))
    assert "--set lock=PATH" in caught.value.hint
