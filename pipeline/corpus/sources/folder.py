"""Images in a folder on disk or at any fsspec URL, listed one way."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus import names as spelt
from pipeline.corpus.sources.filesystems import filesystem, is_local, reason, stamp
from pipeline.corpus.sources.found import (
    FILES,
    HIDDEN,
    IMAGE_SUFFIXES,
    LINK_LOOP,
    NOT_A_FILE,
    SPELT,
    Found,
    raise_nothing_found,
    suffix_of,
)
from pipeline.corpus.sources.places import uri_of
from pipeline.errors import UserError


def list_files(root: str | Path) -> Found:
    """Lists the images under `root`, a local folder or an fsspec URL (`s3://…`, `zip://::a.zip`).

    Recursive; the order is the same on every machine. Links are followed, except back to a folder
    above; a broken link named like an image stays, and fails when it is read. Raises UserError when
    the root is missing, is a file, cannot be listed, or has no image that can be found.
    """
    given = str(root)
    system, base = filesystem(given, hint="correct `corpus.root`")
    try:
        system.invalidate_cache()
        if not system.exists(base):
            raise UserError("there is no such folder", given, "correct `corpus.root`")
        if not system.isdir(base):
            hint = f"give the folder that holds it: {given.rpartition('/')[0] or '.'}"
            raise UserError("the corpus root is a file, not a folder", given, hint)
        walked = _walk_local(base) if is_local(system) else _walk(system, base)
    except OSError as error:
        hint = "make the root readable: of a folder below it a failed row would tell"
        raise UserError("the root cannot be listed", f"{given}: {reason(error)}", hint) from error
    if not walked.names:
        raise_nothing_found(given, walked.ignored, walked.unlisted)
    unknown = [None] * len(walked.unlisted)
    files = _table(given, system, base, (walked.names, walked.sizes, walked.stamps))
    folders = _table(given, system, base, (walked.unlisted, unknown, unknown))
    return Found(files, dict(sorted(walked.ignored.items())), folders)


@dataclass
class _Walked:
    """What a walk finds: of the image files full names, bytes and stamps, in no order.

    `unlisted`: the folders that cannot be listed, with a `/` behind their names.
    """

    names: list[str] = field(default_factory=list)
    sizes: list[int | None] = field(default_factory=list)
    stamps: list[Any] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    unlisted: list[str] = field(default_factory=list)

    def image(self, name: str, size: int | None = None, stamp: Any = None) -> None:
        """An image file."""
        self.names.append(name)
        self.sizes.append(size)
        self.stamps.append(stamp)


def _table(
    root: str,
    system: fsspec.AbstractFileSystem,
    base: str,
    found: tuple[list[str], list[int | None], list[Any]],
) -> pa.Table:
    """Full names, bytes and stamps as a table of the schema FILES, in the order of the paths."""
    names, sizes, stamps = found
    cut, local = len(base.rstrip("/")), is_local(system)
    uris = names if local else [uri_of(root, system, name) for name in names]
    try:
        paths = pc.utf8_ltrim(pc.utf8_slice_codeunits(pa.array(names, pa.string()), cut), "/")
    except UnicodeEncodeError:
        paths = pa.array([spelt.path_of(name[cut:].lstrip("/")) for name in names], pa.string())
        uris = [spelt.uri_of(name) for name in uris]
    columns = [pa.array(uris, pa.string()), paths, pa.array(sizes), pa.array(stamps)]
    arrays = [column.cast(kind) for column, kind in zip(columns, FILES.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=FILES).take(pc.sort_indices(paths))


def why_unlisted(uri: str) -> str:
    """Why a folder that could not be listed cannot be, in one line: it is tried once more."""
    try:
        system, path = filesystem(spelt.local_name(uri))
        if is_local(system):
            with os.scandir(path):
                pass
        else:
            system.ls(path, detail=False)
    except OSError as error:
        return reason(error)
    return "a moment later it could be"


def _walk_local(base: str) -> _Walked:
    """`_walk` on a local disk, where the system itself lists a million files in seconds."""
    walked = _Walked()
    folders = [(base, frozenset[str]())]
    while folders:
        folder, above = folders.pop()
        try:
            above |= {os.path.realpath(folder)}
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _take(entry, above, walked):
                        folders.append((entry.path, above))
        except OSError:
            if folder == base:
                raise
            walked.unlisted.append(f"{folder}/")
    return walked


def _take(entry: os.DirEntry, above: frozenset[str], walked: _Walked) -> bool:
    """Counts an entry, or adds it to the images; whether it is a folder to be looked into."""
    name = entry.name
    try:
        if name[0] == "." or name == "__MACOSX":
            walked.ignored[HIDDEN] += 1
        elif entry.is_dir():
            if not entry.is_symlink() or os.path.realpath(entry.path) not in above:
                return True
            walked.ignored[LINK_LOOP] += 1
        elif name[name.rfind(".") :] not in SPELT and (
            (suffix := suffix_of(name)) not in IMAGE_SUFFIXES
        ):
            walked.ignored[suffix] += 1
        elif entry.is_file():
            about = entry.stat()
            walked.image(entry.path, about.st_size, about.st_mtime_ns)
        elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 (speed)
            walked.image(entry.path)  # leads nowhere: stays, and its row says so
        else:
            walked.ignored[NOT_A_FILE] += 1
    except OSError:  # what it is cannot be told: a row says so
        if suffix_of(name) in IMAGE_SUFFIXES:
            walked.image(entry.path)
        else:
            walked.unlisted.append(f"{entry.path}/")
    return False


def _walk(system: fsspec.AbstractFileSystem, base: str) -> _Walked:
    """The image files below `base`; OSError where `base` itself cannot be listed."""
    walked = _Walked()
    folders = [base]
    while folders:
        folder = folders.pop()
        try:
            entries = system.ls(folder, detail=True)
        except OSError:
            if folder == base:
                raise
            walked.unlisted.append(f"{folder}/")
            continue
        for entry in entries:
            name = entry["name"].rstrip("/")
            last = name.rpartition("/")[2]
            if name == folder.rstrip("/") or not last:
                continue  # object stores list a folder's own marker
            if last.startswith(".") or last == "__MACOSX":
                walked.ignored[HIDDEN] += 1
            elif entry["type"] == "directory":
                folders.append(name)
            elif (suffix := suffix_of(last)) not in IMAGE_SUFFIXES:
                walked.ignored[suffix] += 1
            elif entry["type"] != "file":
                walked.ignored[NOT_A_FILE] += 1
            else:
                walked.image(name, entry.get("size"), stamp(entry))
    return walked
