import os
import socket
import zipfile
from pathlib import Path

import fsspec
import pytest

from pipeline.corpus.sources import read as source
from pipeline.corpus.sources.filesystems import reason
from pipeline.corpus.sources.found import FILES
from pipeline.corpus.sources.places import path_below
from pipeline.corpus.sources.read import read_bytes
from pipeline.errors import UserError
from tests.helpers.corpora import found_in


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def paths(root) -> list[str]:
    return found_in(root).files["path"].to_pylist()


def contents(found) -> list[bytes]:
    return [read_bytes(uri) for uri in found.files["uri"].to_pylist()]


def test_order_is_code_point_order_of_the_whole_relative_path(tmp_path):
    names = ["b/a.png", "a/z.jpg", "a.jpg", "a-b/c.jpg", "Z.jpg", "é.jpg", "a/1/x.webp", "10.jpg"]
    touch(tmp_path, *names)
    assert paths(tmp_path) == sorted(names)
    assert paths(tmp_path)[:3] == ["10.jpg", "Z.jpg", "a-b/c.jpg"]


def test_uri_is_absolute_and_reads_the_same_file(tmp_path, monkeypatch):
    touch(tmp_path, "data/x/a.jpg")
    monkeypatch.chdir(tmp_path)
    (file,) = found_in("data").files.to_pylist()
    changed = (tmp_path / "data/x/a.jpg").stat().st_mtime_ns
    uri = str(tmp_path / "data/x/a.jpg")
    known = {name: value for name, value in file.items() if value is not None}
    assert known == {"uri": uri, "path": "x/a.jpg", "bytes": 12, "stamp": str(changed)}
    assert read_bytes(uri) == b"data/x/a.jpg"
    assert found_in("data").files.schema == FILES


def test_unusual_names_are_kept_as_they_are(tmp_path):
    names = [
        "a.b.c.JPG",
        "with space.JpEg",
        "日本/猫 🐈.png",
        "v1.5/x.jpg",
        "a::b.jpg",
        "[1]*?.png",
    ]
    touch(tmp_path, *names)
    found = found_in(tmp_path)
    assert found.files["path"].to_pylist() == sorted(names)
    assert [content.decode() for content in contents(found)] == sorted(names)
    assert found.ignored == {}


def test_what_is_passed_over_is_counted(tmp_path):
    touch(tmp_path, "a.jpg", "captions.csv", "b/more.CSV", "README", "odd.", "._a.jpg")
    touch(tmp_path, "__MACOSX/a.jpg", ".git/a.jpg", ".git/b.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    found = found_in(tmp_path)
    assert found.files["path"].to_pylist() == ["a.jpg"]
    assert found.ignored == {
        ".csv": 2,
        "(hidden)": 3,
        "(no suffix)": 2,
        "(not a regular file)": 1,
    }


def test_links_are_followed_but_not_in_circles(tmp_path):
    root = touch(tmp_path / "root", "a/x.jpg")
    touch(tmp_path / "elsewhere", "y.jpg")
    (root / "a/up").symlink_to(root)
    (root / "shared").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root / "a")
    (root / "file.jpg").symlink_to(tmp_path / "elsewhere/y.jpg")
    (root / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = found_in(root)
    names = ["a/x.jpg", "again/x.jpg", "file.jpg", "gone.jpg", "shared/y.jpg"]
    assert found.files["path"].to_pylist() == names
    assert found.ignored == {"(link to a folder above)": 2}
    with pytest.raises(FileNotFoundError):
        read_bytes(str(root / "gone.jpg"))


def test_fsspec_url(tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe({"/corpus_test/b.jpg": b"b", "/corpus_test/a/c.jpg": b"c", "/corpus_test/n": b""})
    try:
        found = found_in("memory://corpus_test")
        assert found.files["path"].to_pylist() == ["a/c.jpg", "b.jpg"]
        assert contents(found) == [b"c", b"b"]
        assert found.ignored == {"(no suffix)": 1}
    finally:
        memory.rm("/corpus_test", recursive=True)


def test_file_url_is_the_local_folder(tmp_path):
    touch(tmp_path, "a.jpg")
    assert found_in(f"file://{tmp_path}") == found_in(tmp_path)


def test_members_of_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/b.jpg", b"bee")
        archive.writestr("c.jpg", b"sea")
    found = found_in(f"zip://::{tmp_path / 'a.zip'}")
    assert found.files["path"].to_pylist() == ["in/b.jpg", "c.jpg"]  # as they lie there
    assert contents(found) == [b"bee", b"sea"]
    assert found.files["stamp"].null_count == 0


def test_bad_roots_say_what_where_and_what_next(tmp_path):
    touch(tmp_path, "a.jpg", "texts/a.txt", "texts/b.txt", "texts/c.csv")
    (tmp_path / "empty").mkdir()
    cases = {
        "missing": "no such folder",
        "a.jpg": "is a file, not a folder",
        "empty": "root is empty",
        "texts": "no images below the corpus root, only: 2 .txt, 1 .csv",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message) as caught:
            found_in(tmp_path / name)
        assert name in caught.value.where
        assert caught.value.hint
    with pytest.raises(UserError, match="cannot be used"):
        found_in("nosuch://bucket/x")


def locking(monkeypatch, *names):
    """Folders of these names cannot be listed, whoever asks."""
    real = os.scandir

    def scandir(path):
        if Path(path).name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_listed_is_a_row_of_its_own(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "x/locked/b.jpg")
    locking(monkeypatch, "locked")
    found = found_in(tmp_path)
    assert found.files["path"].to_pylist() == ["a.jpg"]
    (row,) = found.unlisted.to_pylist()
    uri = f"{tmp_path}/x/locked/"
    why = f"transient: folder cannot be listed: Permission denied: '{tmp_path}/x/locked'"
    known = {name: value for name, value in row.items() if value is not None}
    assert known == {"uri": uri, "path": "x/locked/", "problem": why}
    monkeypatch.undo()
    assert len(found_in(tmp_path).unlisted) == 0


def test_a_root_without_any_image_that_can_be_found_is_an_error(tmp_path, monkeypatch):
    touch(tmp_path, "locked/b.jpg")
    locking(monkeypatch, "locked")
    with pytest.raises(
        UserError, match=r"no images .* and 1 folder, archive or row cannot be listed"
    ):
        found_in(tmp_path)
    locking(monkeypatch, tmp_path.name)
    with pytest.raises(UserError, match=r"the root cannot be listed(.|\n)*Permission denied"):
        found_in(tmp_path)


def test_an_entry_of_which_nothing_can_be_told_is_no_end_of_the_listing(tmp_path):
    touch(tmp_path, "a.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "loop").symlink_to("loop")
    found = found_in(tmp_path)
    assert found.files["path"].to_pylist() == ["a.jpg", "loop.jpg"]
    assert found.unlisted["path"].to_pylist() == ["loop/"]
    with pytest.raises(OSError, match="symbolic links"):
        read_bytes(str(tmp_path / "loop.jpg"))


def test_a_remote_folder_that_cannot_be_listed(monkeypatch):
    memory = fsspec.filesystem("memory")
    memory.pipe({"/locked_test/b.jpg": b"b", "/locked_test/x/c.jpg": b"c"})
    real = type(memory).ls

    def ls(self, path, **options):
        if path.rstrip("/").endswith("/x"):
            raise PermissionError("denied")
        return real(self, path, **options)

    monkeypatch.setattr(type(memory), "ls", ls)
    try:
        found = found_in("memory://locked_test")
        assert found.files["path"].to_pylist() == ["b.jpg"]
        assert found.unlisted["path"].to_pylist() == ["x/"]
        assert "denied" in found.unlisted["problem"][0].as_py()
    finally:
        monkeypatch.undo()
        memory.rm("/locked_test", recursive=True)


def test_names_that_are_not_utf_8_are_kept_and_read(tmp_path):
    touch(tmp_path, "a.jpg", "caf%E9.jpg", "./caf%E9/z.jpg")
    raw = os.fsencode(tmp_path)
    for name, content in ((b"caf\xe9.jpg", b"latin"), (b"d \xff%/b.jpg", b"below")):
        path = Path(os.fsdecode(raw + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    found = found_in(tmp_path)
    read = dict(zip(found.files["path"].to_pylist(), contents(found), strict=True))
    assert read == {
        "a.jpg": b"a.jpg",
        "caf%E9.jpg": b"caf%E9.jpg",
        "caf%E9/z.jpg": b"./caf%E9/z.jpg",
        "./caf%E9.jpg": b"latin",
        "./d%20%FF%25/b.jpg": b"below",
    }
    uris = found.files["uri"].to_pylist()
    assert f"file://{tmp_path}/caf%E9.jpg" in uris and f"{tmp_path}/caf%E9.jpg" in uris
    assert [path_below(str(tmp_path), uri) for uri in uris] == found.files["path"].to_pylist()


def test_nfc_and_nfd_are_two_names(tmp_path):
    names = ["e\u0301.jpg", "\u00e9.jpg"]
    touch(tmp_path, *names)
    assert paths(tmp_path) == names


def test_other_filesystems_errors_become_oserror(monkeypatch):
    class Broken(fsspec.AbstractFileSystem):
        def cat_file(self, path, **options):
            raise RuntimeError("token expired")

    monkeypatch.setattr(source, "filesystem", lambda uri: (Broken(), uri))
    monkeypatch.setattr(source, "_PAUSE", 0.001)
    with pytest.raises(OSError, match="RuntimeError: token expired"):
        read_bytes("bucket://a.jpg")


def test_a_uri_gives_its_path_back(tmp_path):
    touch(tmp_path / "a::b", "x/1.jpg", "1.jpg")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/1.jpg", b"1")
    memory = fsspec.filesystem("memory")
    memory.pipe({"/path_below/x/1.jpg": b"1", "/path_below/2.jpg": b"2"})
    roots = [tmp_path / "a::b", f"file://{tmp_path}/", "memory://path_below"]
    roots += [f"zip://::{tmp_path / 'a.zip'}", f"zip://x::{tmp_path / 'a.zip'}"]
    try:
        for root in map(str, roots):
            files = found_in(root).files
            found = [path_below(root, uri) for uri in files["uri"].to_pylist()]
            assert found == files["path"].to_pylist()
    finally:
        memory.rm("/path_below", recursive=True)


@pytest.mark.parametrize(
    ("root", "uri", "path"),
    [
        ("/data/a", "/data/a/b/c.jpg", "b/c.jpg"),
        ("/data/a", "/data/ab/c.jpg", None),
        ("/data/a", "/data/a", None),
        ("/", "/c.jpg", "c.jpg"),
        ("gcs://bucket/a/", "gs://bucket/a/b.jpg", "b.jpg"),
        ("s3://bucket", "s3://bucket2/b.jpg", None),
        ("zip://::/one.zip", "zip://b.jpg::/two.zip", None),
    ],
)
def test_a_path_is_below_its_root_or_nothing(root, uri, path):
    assert path_below(root, uri) == path


def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's name has to be short
        server.bind("socket.jpg")
        for name, kind in (
            ("pipe", "a named pipe"),
            ("folder", "a folder"),
            ("device", "a device"),
            ("socket", "a socket"),
        ):
            path = str(tmp_path / f"{name}.jpg")
            for uri in (path, f"file://{path}"):
                with pytest.raises(OSError, match="Not a regular file") as refused:
                    read_bytes(uri)
                assert reason(refused.value) == f"Not a regular file but {kind}: '{path}'"


def test_a_file_that_a_pipe_takes_the_place_of_while_it_is_opened_is_refused(tmp_path, monkeypatch):
    path = touch(tmp_path, "a.jpg") / "a.jpg"
    stat_of = os.stat

    def swapped(self, *arguments, **options):
        found = stat_of(self, *arguments, **options)
        path.unlink()
        os.mkfifo(path)
        return found

    monkeypatch.setattr(source.os, "stat", swapped)
    with pytest.raises(OSError, match="Not a regular file but a named pipe"):
        read_bytes(str(path))
