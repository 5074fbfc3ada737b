"""A run's folder, written whole or not at all; the former one stays until then."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import UserError
from pipeline.store import run_folders
from pipeline.store.part_file import sync

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)  # a folder cannot be renamed onto one that holds files


def check_writable(folder: Path) -> None:
    """UserError unless `publish` can make this folder; leaves nothing there but the folders above.

    Tried, not asked: permissions say little of network disks, quotas and read-only mounts.
    """
    with _refusals_explained(folder):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(folder))
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = run_folders.partial(folder)
        for place in (beside, folder.parent / beside.name):
            place.mkdir()
            try:
                (place / "tried").write_bytes(b"tried")
            finally:
                shutil.rmtree(place, ignore_errors=True)


def publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Has a run written beside its place and renames it: a killed one leaves no half one there.

    `folder`: `RUNS/<experiment>/<run id>`; one that is there is replaced, and at every moment one
    of the two is whole there, or is put there by the next reader (`run_folders.restore`). Raises
    UserError when the disk refuses, and then keeps the former one.
    """
    partial = run_folders.partial(folder)
    try:
        with _refusals_explained(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
            write(partial)
            for path in (*partial.iterdir(), partial):
                sync(path)
            _move(partial, folder)
            sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        run_folders.restore(folder.parent.parent)
        run_folders.sweep(folder)


def _move(partial: Path, folder: Path) -> None:
    """Puts a whole run in its place, whatever lies there or comes there meanwhile."""
    while True:
        try:
            partial.rename(folder)
            return
        except OSError as error:
            if error.errno not in _TAKEN or not folder.is_dir():
                raise
        with suppress(FileNotFoundError):  # another writer of the same run was faster
            folder.rename(run_folders.aside(folder))


@contextmanager
def _refusals_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the run cannot be saved: {error}",
            str(folder),
            "free some space or give a --store that can be written, and train again",
        ) from error
