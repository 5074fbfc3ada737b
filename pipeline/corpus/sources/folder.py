"""Images in a folder on disk or at any fsspec URL, listed one way."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
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
    Found,
    suffix_of,
)
from pipeline.corpus.sources.places import uri_of
from pipeline.errors import transient


def listed(root: str, ends: frozenset[str] = IMAGE_SUFFIXES) -> Found:
    """The files below a folder, local or at an fsspec URL, whose suffixes are among `ends`.

    Recursive; the order is the same on every machine. Links are followed, except back to a folder
    above; a broken link named like an image stays, and fails when it is read. A folder that cannot
    be listed is in `unlisted`; OSError where the root itself cannot be.
    """
    system, base = filesystem(root)
    spelt_as = ends | {suffix.upper() for suffix in ends}  # as nearly all are
    walked = _Walked(ends, spelt_as)
    if is_local(system):
        _walk_local(base, walked)
    else:
        _walk(system, base, walked)
    files = _table(root, system, base, walked.names, walked.sizes, walked.stamps)
    folders = _table(root, system, base, list(walked.unlisted), problems=walked.unlisted.values())
    return Found(files, dict(sorted(walked.ignored.items())), folders)


@dataclass
class _Walked:
    """What a walk finds: of the image files full names, bytes and stamps, in no order.

    `unlisted`: the folders that cannot be listed, with a `/` behind their names, and why. `ends`:
    the suffixes that are looked for, in lower case, and `spelt`, as most are written.
    """

    ends: frozenset[str]
    spelt: frozenset[str]
    names: list[str] = field(default_factory=list)
    sizes: list[int | None] = field(default_factory=list)
    stamps: list[Any] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    unlisted: dict[str, str] = field(default_factory=dict)

    def image(self, name: str, size: int | None = None, stamp: Any = None) -> None:
        """An image file."""
        self.names.append(name)
        self.sizes.append(size)
        self.stamps.append(stamp)

    def cannot(self, name: str, error: OSError) -> None:
        """A folder that cannot be listed."""
        self.unlisted[name] = transient(f"folder cannot be listed: {reason(error)}")


def _table(
    root: str,
    system: fsspec.AbstractFileSystem,
    base: str,
    names: list[str],
    sizes: Iterable[int | None] = (),
    stamps: Iterable[Any] = (),
    problems: Iterable[str] = (),
) -> pa.Table:
    """Full names, and what is known of them, as a table of FILES, in the order of the paths."""
    cut, local = len(base.rstrip("/")), is_local(system)
    uris = names if local else [uri_of(root, system, name) for name in names]
    try:
        paths = pa.array([name[cut:].lstrip("/") for name in names], pa.string())
    except UnicodeEncodeError:
        paths = pa.array([spelt.path_of(name[cut:].lstrip("/")) for name in names], pa.string())
        uris = [spelt.uri_of(name) for name in uris]
    said = {"uri": uris, "path": paths, "bytes": sizes, "stamp": stamps, "problem": problems}
    columns = []
    for name, kind in zip(FILES.names, FILES.types, strict=True):
        values = said.get(name)
        if not isinstance(values, pa.Array):
            values = pa.array(list(values or ()) or [None] * len(names))
        columns.append(values.cast(kind))
    return pa.Table.from_arrays(columns, schema=FILES).take(pc.sort_indices(paths))


def _walk_local(base: str, walked: _Walked) -> None:
    """`_walk` on a local disk, where the system itself lists a million files in seconds."""
    folders = [(base, frozenset[str]())]
    while folders:
        folder, above = folders.pop()
        try:
            above |= {os.path.realpath(folder)}
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _take(entry, above, walked):
                        folders.append((entry.path, above))
        except OSError as error:
            if folder == base:
                raise
            walked.cannot(f"{folder}/", error)


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
        elif name[name.rfind(".") :] not in walked.spelt and (
            (suffix := suffix_of(name)) not in walked.ends
        ):
            walked.ignored[suffix] += 1
        elif entry.is_file():
            about = entry.stat()
            walked.image(entry.path, about.st_size, about.st_mtime_ns)
        elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 (speed)
            walked.image(entry.path)  # leads nowhere: stays, and its row says so
        else:
            walked.ignored[NOT_A_FILE] += 1
    except OSError as error:  # what it is cannot be told: a row says so
        if suffix_of(name) in walked.ends:
            walked.image(entry.path)
        else:
            walked.cannot(f"{entry.path}/", error)
    return False


def _walk(system: fsspec.AbstractFileSystem, base: str, walked: _Walked) -> None:
    """The image files below `base`; OSError where `base` itself cannot be listed."""
    folders = [base]
    while folders:
        folder = folders.pop()
        try:
            entries = system.ls(folder, detail=True)
        except OSError as error:
            if folder == base:
                raise
            walked.cannot(f"{folder}/", error)
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
            elif (suffix := suffix_of(last)) not in walked.ends:
                walked.ignored[suffix] += 1
            elif entry["type"] != "file":
                walked.ignored[NOT_A_FILE] += 1
            else:
                walked.image(name, entry.get("size"), stamp(entry))
