"""Publishing a run: whoever is killed, and whenever, leaves the old or the new run, whole."""

import os
import shutil
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.head.run_folder import check_writable, publish
from pipeline.store import run_folders
from pipeline.store.parts import Store

FILES = ("metrics.parquet", "experiment.json")


class Killed(BaseException):
    """The end of the process: no later step of it happens, clean-up among them."""


def writer(word):
    def write(folder):
        for name in FILES:
            (folder / name).write_text(word)

    return write


def words(folder):
    return {(folder / name).read_text() for name in FILES}


@pytest.fixture
def steps(monkeypatch):
    """Counts what is done to the disk; `at` the step of this number, and at all later, it fails."""

    class Steps:
        done, at, error = 0, None, Killed

    def counted(owner, name):
        original = getattr(owner, name)

        def step(*arguments, **options):
            if Steps.at is not None and Steps.done >= Steps.at:
                raise Steps.error()
            Steps.done += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, step)

    for owner, name in (
        *((Path, name) for name in ("mkdir", "rename", "write_text")),
        *((os, name) for name in ("fsync", "open")),
        (shutil, "rmtree"),
    ):
        counted(owner, name)
    return Steps


@pytest.mark.parametrize("former", [False, True])
def test_killed_at_any_step_the_old_or_the_new_run_is_whole(tmp_path, steps, former):
    seen = set()
    for number in range(100):
        store = Store(tmp_path / str(number))
        folder = store.root / "runs" / "my-cross" / "0123456789ab"
        steps.done, steps.at = 0, None
        if former:
            publish(folder, writer("old"))
        steps.done, steps.at = 0, number
        try:
            publish(folder, writer("new"))
            finished = True
        except Killed:
            finished = False
        steps.at = None
        found = store.runs()  # what any reader does first
        assert found == ([folder] if former or folder.exists() else [])
        if found:
            assert len(words(folder)) == 1
            seen |= words(folder)
        publish(folder, writer("next"))
        assert words(folder) == {"next"} and store.runs() == [folder]
        assert not list((store.root / "runs").glob(".replaced-*"))
        if finished:
            break
    assert finished and number > 8
    assert seen == ({"old", "new"} if former else {"new"})


@pytest.mark.parametrize("step", range(12))
def test_a_refusal_at_any_step_keeps_the_former_run(tmp_path, monkeypatch, step):
    folder = tmp_path / "runs" / "x" / "0123456789ab"
    publish(folder, writer("old"))
    rename, count = Path.rename, iter(range(100))

    def once(self, target):
        if next(count) == step:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", once)
    if step < 3:  # to its place, the old one aside, to its place again
        with pytest.raises(UserError, match="Input/output error"):
            publish(folder, writer("new"))
        assert words(folder) == {"old"}
    else:
        publish(folder, writer("new"))
        assert words(folder) == {"new"}
    assert [path.name for path in (tmp_path / "runs").glob(".partial-*")] == []


def test_a_reader_in_between_does_not_disturb_the_writer(tmp_path, monkeypatch):
    folder = tmp_path / "runs" / "x" / "0123456789ab"
    publish(folder, writer("old"))
    rename, disturbed = Path.rename, []

    def meanwhile(self, target):
        moved = rename(self, target)
        if self == folder and not disturbed:
            disturbed.append(True)
            run_folders.restore(tmp_path / "runs")
            assert words(folder) == {"old"}
        return moved

    monkeypatch.setattr(Path, "rename", meanwhile)
    publish(folder, writer("new"))
    assert disturbed and words(folder) == {"new"}
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["x"]


def test_a_database_finds_a_run_that_was_moved_aside(tmp_path):
    store = Store(tmp_path)
    folder = tmp_path / "runs" / "x" / "0123456789ab"
    publish(folder, writer("old"))
    folder.rename(run_folders.aside(folder))
    assert store.runs_pattern().endswith("/runs/*/*")
    assert words(folder) == {"old"}


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path):
    folder = tmp_path / "runs" / "x" / "0123456789ab"
    check_writable(folder)
    assert not folder.exists() and not list(folder.parent.iterdir())
    publish(folder, writer("old"))
    check_writable(folder)
    assert words(folder) == {"old"}


@pytest.mark.parametrize("place", ["runs", "runs/x", "runs/x/0123456789ab"])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("")
    with pytest.raises(UserError, match="cannot be saved"):
        check_writable(tmp_path / "runs" / "x" / "0123456789ab")
