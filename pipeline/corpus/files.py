"""Where the images come from: a folder on disk or at any fsspec URL, listed and read one way."""

import errno
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError, worded

# lower case; every format of these can be decoded by Pillow without a plugin
_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff "
    ".ppm .pgm .pbm .pnm .avif .jp2 .j2k .jpx"
)
IMAGE_SUFFIXES = frozenset(_SUFFIXES.split())
_SPELT = IMAGE_SUFFIXES | {suffix.upper() for suffix in IMAGE_SUFFIXES}  # as nearly all are

FILES = pa.schema(
    [
        ("uri", pa.string()),  # what `read_bytes` takes
        ("path", pa.string()),  # relative to the root, posix
        ("bytes", pa.int64()),
        ("stamp", pa.string()),  # time of change in ns, or what the filesystem has like an etag
    ]
)

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


# what filesystems call that which changes with a file's content, the surest first
_STAMPS = ("ETag", "etag", "md5Hash", "CRC", "mtime", "LastModified", "last_modified", "updated")


@dataclass(frozen=True)
class Found:
    """The image files under a root, in the code-point order of `path`, and what was passed over.

    `files` has the schema FILES; bytes and stamp are null where they are not known.
    `ignored` counts entries by lower-case suffix (`.csv`), or by a reason in parentheses: hidden
    files and folders and `__MACOSX` (each folder counts once), names without a suffix, links to a
    folder above themselves, and names of images that are pipes, sockets or devices.
    """

    files: pa.Table
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
        walk = _walk_local if _is_local(system) else _walk
        names, sizes, stamps = walk(system, base, ignored)
    except OSError as error:
        hint = "make every folder below the root readable, or move it out of the root"
        raise UserError("a folder cannot be listed", f"{given}: {reason(error)}", hint) from error
    if not names:
        _raise_nothing_found(given, ignored)
    cut = len(base.rstrip("/"))
    try:
        paths = pc.utf8_ltrim(pc.utf8_slice_codeunits(pa.array(names, pa.string()), cut), "/")
    except UnicodeEncodeError:
        _raise_names([name[cut:].lstrip("/") for name in names], given)
    uris = names if _is_local(system) else [_uri(given, system, name) for name in names]
    columns = [pa.array(uris), paths, pa.array(sizes), pa.array(stamps)]
    arrays = [column.cast(kind) for column, kind in zip(columns, FILES.types, strict=True)]
    files = pa.Table.from_arrays(arrays, schema=FILES)
    return Found(files.take(pc.sort_indices(paths)), dict(sorted(ignored.items())))


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


def path_below(root: str, uri: str) -> str | None:
    """The `path` that `list_files(root)` gives the file `uri`; None when it is not below `root`.

    Works on the names alone: nothing is opened, and no filesystem's package is needed.
    """
    base, name = plain_name(root), plain_name(uri)
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
    outer, chain, inner = root.partition("::")
    if chain:  # zip://::/data/a.zip becomes zip://member::/data/a.zip
        return f"{outer.partition('://')[0]}://{name}::{inner}"
    return system.unstrip_protocol(name)


def plain_name(uri: str) -> str:
    """A name without its protocol, behind what it lies in: zip://a.jpg::/c.zip is /c.zip::a.jpg."""
    if uri.startswith("/") or "://" not in uri:  # a local name may hold '::' or '://'
        return uri.strip("/")
    outer, chain, inner = uri.partition("::")
    return f"{inner}{chain}{outer.partition('://')[2].strip('/')}"


def _is_local(system: fsspec.AbstractFileSystem) -> bool:
    return "file" in system.protocol


def _walk_local(
    system: fsspec.AbstractFileSystem, base: str, ignored: Counter[str]
) -> tuple[list[str], list[int | None], list[Any]]:
    """`_walk` on a local disk, where the system itself lists a million files in seconds."""
    names: list[str] = []
    sizes: list[int | None] = []
    stamps: list[int | None] = []
    folders = [(base, frozenset[str]())]
    while folders:
        folder, above = folders.pop()
        above |= {os.path.realpath(folder)}
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == "." or name == "__MACOSX":
                    ignored[HIDDEN] += 1
                elif entry.is_dir():
                    if entry.is_symlink() and os.path.realpath(entry.path) in above:
                        ignored[LINK_LOOP] += 1
                    else:
                        folders.append((entry.path, above))
                elif name[name.rfind(".") :] not in _SPELT and (
                    (suffix := _suffix(name)) not in IMAGE_SUFFIXES
                ):
                    ignored[suffix] += 1
                elif entry.is_file():
                    about = entry.stat()
                    names.append(entry.path)
                    sizes.append(about.st_size)
                    stamps.append(about.st_mtime_ns)
                elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 (speed)
                    names.append(entry.path)  # leads nowhere: stays, and its row says so
                    sizes.append(None)
                    stamps.append(None)
                else:
                    ignored[NOT_A_FILE] += 1
    return names, sizes, stamps


def _walk(
    system: fsspec.AbstractFileSystem, base: str, ignored: Counter[str]
) -> tuple[list[str], list[int | None], list[Any]]:
    """Full names, bytes and stamps of the image files below `base`, in no particular order."""
    names: list[str] = []
    sizes: list[int | None] = []
    stamps: list[str | None] = []
    folders = [base]
    while folders:
        folder = folders.pop()
        for entry in system.ls(folder, detail=True):
            name = entry["name"].rstrip("/")
            last = name.rpartition("/")[2]
            if name == folder.rstrip("/") or not last:
                continue  # object stores list a folder's own marker
            if last.startswith(".") or last == "__MACOSX":
                ignored[HIDDEN] += 1
            elif entry["type"] == "directory":
                folders.append(name)
            elif (suffix := _suffix(last)) not in IMAGE_SUFFIXES:
                ignored[suffix] += 1
            elif entry["type"] != "file":
                ignored[NOT_A_FILE] += 1
            else:
                names.append(name)
                sizes.append(entry.get("size"))
                stamps.append(_stamp(entry))
    return names, sizes, stamps


def _stamp(entry: dict[str, Any]) -> str | None:
    return next((str(entry[name]) for name in _STAMPS if entry.get(name) is not None), None)


def _suffix(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if stem and suffix else NO_SUFFIX


def _raise_nothing_found(root: str, ignored: Counter[str]) -> NoReturn:
    if not ignored:
        raise UserError("the corpus root is empty", root, "put images there, or correct the path")
    seen = ", ".join(f"{count} {suffix}" for suffix, count in ignored.most_common(5))
    raise UserError(
        f"there are no images below the corpus root, only: {seen}",
        root,
        f"point `corpus.root` at the images; file names must end in one of {_SUFFIXES}",
    )


def _raise_names(paths: list[str], root: str) -> NoReturn:
    bad = [path for path in paths if not _is_utf8(path)]
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
