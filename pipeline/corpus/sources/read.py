"""Reading one file, wherever it lies."""

import errno
import os
import stat
from pathlib import Path

from pipeline.corpus import names as spelt
from pipeline.corpus.sources.filesystems import filesystem, is_local
from pipeline.errors import UserError, worded

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def read_bytes(uri: str) -> bytes:
    """The content of one file, local or remote.

    Raises OSError, whatever the filesystem raised, and for a local pipe, socket, device or folder,
    which could make the reader wait for ever; UserError when its package is not installed.
    """
    if uri.startswith(("/", "file:///")):  # half the time that fsspec takes for the same
        return _read_local(spelt.local_name(uri))
    try:
        system, path = filesystem(uri)
        return _read_local(path) if is_local(system) else system.cat_file(path)
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
