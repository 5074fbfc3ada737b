"""Reading one image's file, wherever it lies: on disk, at a URL, in an archive or a table."""

import errno
import os
import random
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

from pipeline.corpus import names as spelt
from pipeline.corpus.sources.filesystems import filesystem, is_local, passing
from pipeline.corpus.sources.packed import parquet, zip
from pipeline.corpus.sources.packed.members import PARQUET, TAR, parsed
from pipeline.errors import UserError, worded

CONNECTIONS = 16  # files that a process reads at a time where they are not on this machine
_PAUSE = 0.25  # seconds before the second try, then twice as long each time

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}

Made = TypeVar("Made")


def read_bytes(uri: str) -> bytes:
    """The content of one image's file.

    What is not on this machine is tried four times where the cause may pass. Raises OSError,
    whatever the filesystem raised, and for a local pipe, socket, device or folder, which could make
    the reader wait for ever; UserError when its package is not installed.
    """
    if uri.startswith(("/", "file:///")):  # half the time that fsspec takes for the same
        return _read_local(spelt.local_name(uri))
    member = parsed(uri)
    if member is None:
        return _read_whole(uri)
    if member.kind == PARQUET:
        return _tried(partial(parquet.cell, member), member.archive)
    if member.kind == TAR:
        size = member.where["bytes"]
        data = read_range(member.archive, member.where["at"], size)
        if len(data) < size:
            raise OSError(f"the archive ends early: {len(data)} of {size} bytes are there")
        return data
    return zip.unpacked(member, partial(read_range, member.archive))


def read_range(uri: str, start: int, size: int) -> bytes:
    """At most `size` bytes of a file from `start` on. Raises as `read_bytes` does."""
    system, path = filesystem(uri)
    if not is_local(system):
        return _tried(lambda: system.cat_file(path, start=start, end=start + size), uri)
    return _read_local(path, start, size)


def together(uris: Sequence[str], read: Callable[[int], Made]) -> list[Made]:
    """`read(0)`, `read(1)`, … of files; at the same time if they are not on this machine."""
    if len(uris) < 2 or all(map(is_here, uris)):
        return [read(number) for number in range(len(uris))]
    return list(_connections().map(read, range(len(uris))))


def is_here(uri: str) -> bool:
    """Whether a file, or the archive that it is in, lies on this machine's disks."""
    member = parsed(uri)
    name = uri if member is None else member.archive
    return "://" not in name or name.startswith(("/", "file://"))


@cache
def _connections() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="connection")


def _read_whole(uri: str) -> bytes:
    system, path = filesystem(uri)
    return _read_local(path) if is_local(system) else _tried(lambda: system.cat_file(path), uri)


def _tried(read: Callable[[], bytes], uri: str) -> bytes:
    """What `read` gives; of what is not on this machine at the fourth try at the latest."""
    pauses = () if is_here(uri) else (_PAUSE, 2 * _PAUSE, 4 * _PAUSE)
    for pause in (*pauses, None):
        try:
            return read()
        except (MemoryError, UserError):
            raise
        except Exception as error:  # remote filesystems have exceptions of their own
            if pause is not None and passing(error):
                # not all at the same time again, after a server was too busy
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            elif isinstance(error, OSError):
                raise
            else:
                raise OSError(worded(error)) from error
    raise OSError("not read")


def _read_local(path: str, start: int = 0, size: int = -1) -> bytes:
    if "\0" in path:  # a table may name anything
        raise OSError(errno.EINVAL, "No name of a file", path)
    _check_regular(path, os.stat(path).st_mode)  # noqa: PTH116 (merely to open a device may act)
    # what a pipe has taken the place of since is opened without waiting for its other end
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(handle, "rb", buffering=0) as file:
        about = os.fstat(handle)
        _check_regular(path, about.st_mode)
        if size < 0:
            return file.read()
        file.seek(start)
        return file.read(min(size, max(0, about.st_size - start)))


def _check_regular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        is_kind = (says for says in _KINDS if says(mode))
        kind = next((_KINDS[says] for says in is_kind), "something else")
        raise OSError(errno.EINVAL, f"Not a regular file but {kind}", path)
