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

from pipeline.corpus import names as spelt
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
        ("uri", pa.string()),  # what `read_bytes` takes; see `corpus.names`
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

    `files` has the schema FILES; bytes and stamp are null where they are not known. `unlisted`, of
    the same schema, are the folders that cannot be listed: their uri and path end in `/`.
    `ignored` counts entries by lower-case suffix (`.csv`), or by a reason in parentheses: hidden
    files and folders and `__MACOSX` (each folder counts once), names without a suffix, links to a
    folder above themselves, and names of images that are pipes, sockets or devices.
    """

    files: pa.Table
    ignored: dict[str, int] = field(default_factory=dict)
    unlisted: pa.Table = field(default_factory=FILES.empty_table)


def list_files(root: str | Path) -> Found:
    """Lists the images under `root`, a local folder or an fsspec URL (`s3://…`, `zip://::a.zip`).

    Recursive; the order is the same on every machine. Links are followed, except back to a folder
    above; a broken link named like an image stays, and fails when it is read. Raises UserError when
    the root is missing, is a file, cannot be listed, or has no image that can be found.
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
        walked = _walk_local(base) if _is_local(system) else _walk(system, base)
    except OSError as error:
        hint = "make the root readable: of a folder below it a failed row would tell"
        raise UserError("the root cannot be listed", f"{given}: {reason(error)}", hint) from error
    if not walked.names:
        _raise_nothing_found(given, walked.ignored, walked.unlisted)
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
    cut, local = len(base.rstrip("/")), _is_local(system)
    uris = names if local else [_uri(root, system, name) for name in names]
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
        system, path = _filesystem(spelt.local_name(uri))
        if _is_local(system):
            with os.scandir(path):
                pass
        else:
            system.ls(path, detail=False)
    except OSError as error:
        return reason(error)
    return "a moment later it could be"


def read_bytes(uri: str) -> bytes:
    """The content of one file, local or remote.

    Raises OSError, whatever the filesystem raised, and for a local pipe, socket, device or folder,
    which could make the reader wait for ever; UserError when its package is not installed.
    """
    if uri.startswith(("/", "file:///")):  # half the time that fsspec takes for the same
        return _read_local(spelt.local_name(uri))
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
    base, name = plain_name(root), plain_name(spelt.local_name(uri))
    prefix = base if base == "" or base.endswith("::") else f"{base}/"
    return spelt.path_of(name[len(prefix) :]) if name.startswith(prefix) else None


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
        elif name[name.rfind(".") :] not in _SPELT and (
            (suffix := _suffix(name)) not in IMAGE_SUFFIXES
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
        if _suffix(name) in IMAGE_SUFFIXES:
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
            elif (suffix := _suffix(last)) not in IMAGE_SUFFIXES:
                walked.ignored[suffix] += 1
            elif entry["type"] != "file":
                walked.ignored[NOT_A_FILE] += 1
            else:
                walked.image(name, entry.get("size"), _stamp(entry))
    return walked


def _stamp(entry: dict[str, Any]) -> str | None:
    return next((str(entry[name]) for name in _STAMPS if entry.get(name) is not None), None)


def _suffix(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return spelt.readable(spelt.path_of(f".{suffix.lower()}")) if stem and suffix else NO_SUFFIX


def _raise_nothing_found(root: str, ignored: Counter[str], unlisted: list[str]) -> NoReturn:
    if unlisted:
        raise UserError(
            f"there are no images below the corpus root, and {len(unlisted)} folders cannot be "
            "listed",
            f"{root}: {spelt.readable(spelt.path_of(unlisted[0]))}",
            "make them readable",
        )
    if not ignored:
        raise UserError("the corpus root is empty", root, "put images there, or correct the path")
    seen = ", ".join(f"{count} {suffix}" for suffix, count in ignored.most_common(5))
    raise UserError(
        f"there are no images below the corpus root, only: {seen}",
        root,
        f"point `corpus.root` at the images; file names must end in one of {_SUFFIXES}",
    )
