"""Files that are not on this machine: tried again, several at a time, and never for ever."""

import os
import threading

import fsspec
import pytest

from pipeline.corpus.sources import read
from pipeline.corpus.sources.filesystems import passing
from tests.corpus.sources.conftest import tar_of
from tests.helpers.corpora import found_in


class Far(fsspec.AbstractFileSystem):
    """A filesystem that fails as often as it is told to."""

    protocol = "far"

    def __init__(self, failing):
        super().__init__(skip_instance_cache=True)
        self.failing, self.asked = list(failing), 0

    def cat_file(self, path, start=None, end=None, **options):
        """The name in the place of a content."""
        self.asked += 1
        if self.failing:
            raise self.failing.pop(0)
        return path.encode()[start:end]


class Status(Exception):
    """As aiohttp raises it."""

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


@pytest.fixture
def far(monkeypatch):
    """`far(failing)`: the filesystem of `far://`."""
    monkeypatch.setattr(read, "_PAUSE", 0.001)

    def make(*failing):
        system = Far(failing)
        monkeypatch.setattr(read, "filesystem", lambda uri: (system, uri.removeprefix("far://")))
        return system

    return make


@pytest.mark.parametrize(
    "error", [OSError("reset"), TimeoutError("slow"), Status(500), Status(429), RuntimeError("odd")]
)
def test_what_may_pass_is_tried_again(far, error):
    system = far(error, error, error)
    assert read.read_bytes("far://a.jpg") == b"a.jpg" and system.asked == 4
    system = far(*[error] * 9)
    with pytest.raises(OSError, match=r"reset|slow|status|odd"):
        read.read_bytes("far://a.jpg")
    assert system.asked == 4


@pytest.mark.parametrize(
    "error", [FileNotFoundError("none"), PermissionError("no"), Status(403), Status(404)]
)
def test_what_stays_is_said_at_once(far, error):
    system = far(error)
    with pytest.raises(OSError, match=r"none|no|status"):
        read.read_bytes("far://a.jpg")
    assert system.asked == 1 and not passing(error)


def test_a_range_of_an_archive_far_away(far):
    far(OSError("reset"))
    uri = "tar://b?at=2&bytes=3::far://abcdefgh.tar"
    assert read.read_bytes(uri) == b"cde"
    with pytest.raises(OSError, match="ends early: 10 of 30"):
        read.read_bytes("tar://b?at=2&bytes=30::far://abcdefgh.tar")


def test_files_far_away_are_read_at_the_same_time():
    both = threading.Barrier(8, timeout=10)
    uris = [f"far://{number}" for number in range(8)]

    def wait(number):
        both.wait()
        return number

    assert read.together(uris, wait) == list(range(8))
    here = threading.current_thread()
    found = read.together(["/a", "/b"], lambda number: threading.current_thread())
    assert found == [here, here]


def test_an_archive_far_away_is_listed_and_read(tmp_path):
    memory = fsspec.filesystem("memory")
    members = {f"{n}.jpg": bytes([n]) * 700 for n in range(5)}
    memory.pipe({"/far_tar/a.tar": tar_of(tmp_path / "a.tar", members).read_bytes()})
    try:
        for root in ("memory://far_tar", "memory://far_tar/a.tar"):
            found = found_in(root)
            uris = found.files["uri"].to_pylist()
            assert [read.read_bytes(uri) for uri in uris] == list(members.values())
            assert uris[0].startswith("tar://0.jpg?at=512&bytes=700::memory://")
    finally:
        memory.rm("/far_tar", recursive=True)


def test_members_of_one_archive_are_read_through_one_opened_file(tmp_path, monkeypatch):
    members = {f"{n}.jpg": bytes([n]) * (700 + n) for n in range(5)}
    for name in ("a", "b"):
        tar_of(tmp_path / f"{name}.tar", members)
    uris = found_in(str(tmp_path)).files["uri"].to_pylist()
    seen, closed, real, close = [], [], read._opened, os.close
    monkeypatch.setattr(read, "_opened", lambda path: (seen.append(path), real(path))[1])
    monkeypatch.setattr(read.os, "close", lambda file: (closed.append(file), close(file)))
    with read.Reader() as reader:
        assert [reader.read(uri) for uri in uris] == [*members.values()] * 2
    assert seen == [str(tmp_path / "a.tar"), str(tmp_path / "b.tar")] and len(closed) == 2


def test_a_member_beyond_the_end_of_its_archive(tmp_path):
    tar_of(tmp_path / "a.tar", {"a.jpg": b"abc"})
    for where, there in (("at=512&bytes=999999", 9728), ("at=99999&bytes=3", 0)):
        with pytest.raises(OSError, match=f"ends early: {there} of"):
            read.read_bytes(f"tar://a.jpg?{where}::{tmp_path / 'a.tar'}")


@pytest.mark.parametrize("off", [-9, 9, -100])
def test_a_file_that_is_written_meanwhile_is_read_to_its_end(tmp_path, monkeypatch, off):
    path, data = tmp_path / "a.jpg", bytes(range(256)) * 3
    path.write_bytes(data)
    real = read._opened
    monkeypatch.setattr(read, "_PIECE", 100)
    monkeypatch.setattr(read, "_opened", lambda path: (real(path)[0], len(data) + off))
    assert read.read_bytes(str(path)) == data
