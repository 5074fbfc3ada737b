"""Where the images come from: a folder on disk or at any fsspec URL, listed and read one way."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa

from pipeline.errors import UserError, worded

# lower case; every format of these can be decoded by Pillow without a plugin
_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff "
    ".ppm .pgm .pbm .pnm .avif .jp2 .j2k .jpx"
)
IMAGE_SUFFIXES = frozenset(_SUFFIXES.split())

FILES = pa.schema([("uri", pa.string()), ("path", pa.string())])

# keys of `Found.ignored` beside the suffixes
HIDDEN = "(hidden)"
NO_SUFFIX = "(no suffix)"
LINK_LOOP = "(link to a folder above)"
NOT_A_FILE = "(not a regular file)"

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


@dataclass(frozen=True)
class File:
    """One image file: `uri` is what `read_bytes` takes, `path` is relative to the root (posix)."""

    uri: str
    path: str


@dataclass(frozen=True)
class Found:
    """The image files under a root, in the code-point order of `path`, and what was passed over.

    `ignored` counts entries by lower-case suffix (`.csv`), or by a reason in parentheses: hidden
    files and folders and `__MACOSX` (each folder counts once), names without a suffix, links to a
    folder above themselves, and names of images that are pipes, sockets or devices.
    """

    files: list[File]
    ignored: dict[str, int] = field(default_factory=dict)


def list_files(root: str | Path) -> Found:
    """Lists the images under `root`, a local folder or an fsspec URL (`s3://…`, `zip://::a.zip`).

    Recursive; the order is the same on every machine. Links are followed, except back to a folder
    above; a broken link named like an image stays, and fails when it is read. Raises UserError when
    the root is missing, is a file, cannot be listed, or holds no image.
    """
    given = str(root)
    system, base = _filesystem(given, hint="correct `corpus.root`")
    try:
        system.invalidate_cache()
        if not system.exists(base):
            raise UserError("there is no such folder", given, "correct `corpus.root`")
        if not system.isdir(base):
            hint = f"give the folder that holds it: {given.rpartition('/')[0] or '.'}"
            raise UserError("the corpus root is a file, not a folder", given, hint)
        ignored: Counter[str] = Counter()
        names = list(_walk(system, base, ignored))
    except OSError as error:
        hint = "make every folder below the root readable, or move it out of the root"
        raise UserError("a folder cannot be listed", f"{given}: {reason(error)}", hint) from error
    if not names:
        _raise_nothing_found(given, ignored)
    paths = sorted((name[len(base.rstrip("/")) :].lstrip("/"), name) for name in names)
    _check_names([path for path, _ in paths], given)
    files = [File(_uri(given, system, name), path) for path, name in paths]
    return Found(files, dict(sorted(ignored.items())))


def read_bytes(uri: str) -> bytes:
    """The content of one file, local or remote.

    Raises OSError, whatever the filesystem raised, and for a local pipe, socket, device or folder,
    which could make the reader wait for ever; UserError when its package is not installed.
    """
    if uri.startswith("/"):
        return _read_local(uri)  # half the time that fsspec takes for the same
    try:
        system, path = _filesystem(uri)
        return _read_local(path) if _is_local(system) else system.cat_file(path)
    except (OSError, MemoryError, UserError):
        raise
    except Exception as error:  # remote filesystems have exceptions of their own
        raise OSError(worded(error)) from error


def _read_local(path: str) -> bytes:
    _check_regular(path, Path(path).stat().st_mode)  # merely to open a device may do something
    # what a pipe has taken the place of since is opened without waiting for its other end
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(handle, "rb", buffering=0) as file:
        _check_regular(path, os.fstat(handle).st_mode)
        return file.read()


def _check_regular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        is_kind = (says for says in _KINDS if says(mode))
        kind = next((_KINDS[says] for says in is_kind), "something else")
        raise OSError(errno.EINVAL, f"Not a regular file but {kind}", path)


def files_table(files: Iterable[File]) -> pa.Table:
    """The input of the stage `listing`: columns uri and path (schema `FILES`)."""
    rows = list(files)
    columns = {"uri": [file.uri for file in rows], "path": [file.path for file in rows]}
    return pa.table(columns, schema=FILES)


def path_below(root: str, uri: str) -> str | None:
    """The `path` that `list_files(root)` gives the file `uri`; None when it is not below `root`.

    Works on the names alone: nothing is opened, and no filesystem's package is needed.
    """
    base, name = _plain_name(root), _plain_name(uri)
    prefix = base if base == "" or base.endswith("::") else f"{base}/"
    return name[len(prefix) :] if name.startswith(prefix) else None


def reason(error: OSError) -> str:
    """The cause of an OSError in one line: `Permission denied: '/data/a.jpg'`."""
    if error.strerror is None:
        return str(error).strip() or worded(error)
    return f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror


def _filesystem(uri: str, hint: str | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    if "://" not in uri or uri.startswith("/"):  # a local name may hold '::' or '://'
        system = fsspec.filesystem("file")
        return system, system._strip_protocol(uri)
    try:
        return fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise UserError("this kind of URL needs another package", uri, str(error)) from error
    except ValueError as error:
        raise UserError(f"this URL cannot be used: {error}", uri, hint) from error


def _uri(root: str, system: fsspec.AbstractFileSystem, name: str) -> str:
    if _is_local(system):
        return name
    outer, chain, inner = root.partition("::")
    if chain:  # zip://::/data/a.zip becomes zip://member::/data/a.zip
        return f"{outer.partition('://')[0]}://{name}::{inner}"
    return system.unstrip_protocol(name)


def _plain_name(uri: str) -> str:
    """A name without its protocol, behind what it lies in: zip://a.jpg::/c.zip is /c.zip::a.jpg."""
    if uri.startswith("/") or "://" not in uri:  # a local name may hold '::' or '://'
        return uri.strip("/")
    outer, chain, inner = uri.partition("::")
    return f"{inner}{chain}{outer.partition('://')[2].strip('/')}"


def _is_local(system: fsspec.AbstractFileSystem) -> bool:
    return "file" in system.protocol


def _walk(system: fsspec.AbstractFileSystem, base: str, ignored: Counter[str]) -> Iterator[str]:
    """Full names of the image files below `base`, in no particular order."""
    folders = [(base, frozenset[str]())]
    while folders:
        folder, above = folders.pop()
        if _is_local(system):
            above |= {str(Path(folder).resolve())}
        for entry in system.ls(folder, detail=True):
            name = entry["name"].rstrip("/")
            last = name.rpartition("/")[2]
            if name == folder.rstrip("/") or not last:
                continue  # object stores list a folder's own marker
            kind = _kind(entry)
            if last.startswith(".") or last == "__MACOSX":
                ignored[HIDDEN] += 1
            elif kind == "directory":
                if entry.get("islink") and str(Path(name).resolve()) in above:
                    ignored[LINK_LOOP] += 1
                else:
                    folders.append((name, above))
            elif (suffix := _suffix(last)) not in IMAGE_SUFFIXES:
                ignored[suffix] += 1
            elif kind == "other":
                ignored[NOT_A_FILE] += 1
            else:
                yield name


def _kind(entry: dict[str, Any]) -> str:
    """'file', 'directory' or 'other', a local link being what it leads to."""
    if not entry.get("islink"):
        return entry["type"]
    try:
        mode = Path(entry["name"]).stat().st_mode
    except OSError:
        return "file"  # leads nowhere, or in a circle: stays, and its row says so
    if stat.S_ISDIR(mode):
        return "directory"
    return "file" if stat.S_ISREG(mode) else "other"


def _suffix(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if stem and suffix else NO_SUFFIX


def _raise_nothing_found(root: str, ignored: Counter[str]) -> None:
    if not ignored:
        raise UserError("the corpus root is empty", root, "put images there, or correct the path")
    seen = ", ".join(f"{count} {suffix}" for suffix, count in ignored.most_common(5))
    raise UserError(
        f"there are no images below the corpus root, only: {seen}",
        root,
        f"point `corpus.root` at the images; file names must end in one of {_SUFFIXES}",
    )


def _check_names(paths: list[str], root: str) -> None:
    bad = [path for path in paths if not _is_utf8(path)]
    if bad:
        shown = ", ".join(ascii(path) for path in bad[:3])
        raise UserError(
            f"{len(bad)} file names are not UTF-8: {shown}",
            root,
            "rename them (for example with convmv): tables hold text, and no file is left out",
        )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
