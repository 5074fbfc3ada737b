"""What a user names: files, folders, archives, lists; nothing that is named is passed over."""

import os
import zipfile

import pytest

from pipeline.predict.inputs import File, found
from tests.conftest import draw


def nothing():
    raise AssertionError("stdin was read")


@pytest.fixture
def here(tmp_path, monkeypatch):
    draw(tmp_path / "a.jpg", 1)
    draw(tmp_path / "sub" / "b.jpg", 2)
    draw(tmp_path / "sub" / "deep" / "c.png", 3)
    (tmp_path / "sub" / "notes.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_words_keep_their_order_and_folders_that_of_their_paths(here):
    files = found(["sub", "a.jpg", "sub/b.jpg", "sub/"], nothing)
    paths = ["sub/b.jpg", "sub/deep/c.png"]
    assert [file.path for file in files] == [*paths, "a.jpg", "sub/b.jpg", *paths]
    assert files[2] == File("a.jpg", str(here / "a.jpg"))
    assert all(file.uri == str(here / file.path) for file in files)


@pytest.mark.parametrize("mark", [b"\n", b"\r\n", b"\0"])
def test_lists_and_stdin_have_one_word_a_line(here, mark):
    text = mark.join([b"a.jpg", b"", b"sub", b"no.jpg", b""])
    (here / "list.txt").write_bytes(text)
    for files in (found(["@list.txt"], nothing), found(["-"], lambda: text)):
        paths = ["a.jpg", "sub/b.jpg", "sub/deep/c.png", "no.jpg"]
        assert [file.path for file in files] == paths
        assert files[3].problem == "there is no such file or folder"


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("nope.jpg", "there is no such file or folder"),
        ("no\0pe.jpg", "there is no such file or folder"),
        ("", "there is no such file or folder"),
        ("@none.txt", "the list cannot be read: No such file or directory"),
        ("@empty.txt", "the list names no file"),
        ("empty.txt", "this is no image; a list of paths is given as @empty.txt"),
        ("bare", "it is empty"),
        ("notes", "there are no images below it, only: 1 .md"),
        ("bad.zip", "it is no zip archive"),
    ],
)
def test_what_names_no_image_is_a_line_with_its_reason(here, word, problem):
    (here / "empty.txt").write_text("\n\n")
    (here / "bare").mkdir()
    (here / "notes").mkdir()
    (here / "notes" / "x.md").write_text("x")
    (here / "bad.zip").write_text("no zip")
    (file,) = found([word], nothing)
    assert file.uri is None
    assert problem in file.problem


def test_archives_and_names_that_are_no_text(here):
    with zipfile.ZipFile(here / "x.zip", "w") as archive:
        archive.write(here / "a.jpg", "in/a.jpg")
    (file,) = found(["x.zip"], nothing)
    assert file.path == "x.zip/in/a.jpg"
    odd = os.fsencode(here) + b"/caf\xe9.jpg"
    (here / "a.jpg").rename(os.fsdecode(odd))
    (file,) = found([os.fsdecode(odd)], nothing)
    assert file.path.endswith("/caf%E9.jpg")
    assert file.uri.startswith("file:///")
