"""Nothing but the store itself writes into a store: where a file that a user asks for may go."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.errors import UserError

MARK = "store.json"  # says that a folder is a store, and of which format
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_DEEP = 3  # STORE/<stage>/<fingerprint>, STORE/runs/<experiment>/<run id>


def check_folder(root: Path | str) -> None:
    """UserError for a store that is no folder of a file system: `s3://…` would become `s3:`."""
    if _URL.match(str(root)):
        raise UserError(
            f"a store is a folder, and {root} is an address",
            "--store",
            "give a folder that this machine and all workers see; images may lie behind an "
            "address (corpus.root), the store cannot yet",
        )


def check_outside(out: Path | None, store: Path | str, option: str = "--out") -> None:
    """UserError for an `out` in this store, or in any other: by links and other spellings, too.

    UserError as well for an address, which would become a folder called `s3:`.
    """
    if out is None:
        return
    if _URL.match(str(out)):
        raise UserError(f"{option} writes files, and {out} is an address", option, "give a path")
    target = out.expanduser()
    above = {found for path in _ways(target) if (found := _identity(path))}
    folders = map(_identity, _folders(Path(store).expanduser()))
    if not above.isdisjoint(folders) or any(map(_is_store, _ways(target))):
        raise UserError(
            f"{option} would write into a store",
            str(out),
            "what lies there is the store's own: give a path outside of it",
        )


def write_text(out: Path, text: str, option: str = "--out") -> None:
    """Writes a file that the user asked for, complete or not at all; UserError if it cannot be."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    data = text.encode("utf-8", "backslashreplace")
    try:
        if out.exists() and not out.is_file():  # a pipe, /dev/null: no file to put another for
            out.write_bytes(data)
            return
        temporary.write_bytes(data)
        temporary.replace(out)
    except OSError as error:
        raise UserError(
            f"the page cannot be written: {error.strerror or error}",
            str(out),
            f"give {option} a path in a folder that exists and can be written",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _is_store(folder: Path) -> bool:
    return (folder / MARK).is_file()


def _ways(target: Path) -> Iterator[Path]:
    """A path and all folders above it, as it is written and as links lead."""
    for path in (target.absolute(), target.resolve()):
        yield from (path, *path.parents)


def _identity(path: Path) -> tuple[int, int] | None:
    """What a folder is on its disk, under whatever name; None where there is none."""
    with suppress(OSError):
        found = os.stat(path)  # noqa: PTH116 (follows links, as writing does)
        return found.st_dev, found.st_ino
    return None


def _folders(root: Path) -> Iterable[Path]:
    """A store, and those of its folders that may lie elsewhere, behind a link."""
    found = [root]
    level = [root]
    for _ in range(_DEEP):
        below = []
        for folder in level:
            with suppress(OSError), os.scandir(folder) as entries:
                below += [Path(entry.path) for entry in entries if entry.is_dir()]
        found += [folder for folder in below if folder.is_symlink()]
        level = below
    return found
