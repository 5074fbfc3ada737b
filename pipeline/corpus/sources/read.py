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
_PIECE = 2**24  # bytes
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
    with Reader() as reader:
        return reader.read(uri)


class Reader:
    """Reads files one after the other, to be used as a context, in one thread.

    An archive on this machine stays open as long as members of it are asked for.
    """

    def __init__(self) -> None:
        self._archive, self._file, self._end = "", -1, 0

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._archive, self._file = "", -1

    def read(self, uri: str) -> bytes:
        """`read_bytes`."""
        if uri.startswith(("/", "file:///")):  # half the time that fsspec takes for the same
            return _read_local(spelt.local_name(uri))
        member = parsed(uri)
        if member is None:
            return _read_whole(uri)
        if member.kind == PARQUET:
            return _tried(partial(parquet.cell, member), member.archive)
        if member.kind == TAR:
            size = member.where["bytes"]
            data = self._range(member.archive, member.where["at"], size)
            if len(data) < size:
                raise OSError(f"the archive ends early: {len(data)} of {size} bytes are there")
            return data
        return zip.unpacked(member, partial(self._range, member.archive))

    def _range(self, uri: str, start: int, size: int) -> bytes:
        """At most `size` bytes of a file from `start` on."""
        if uri != self._archive:
            system, path = filesystem(uri)
            if not is_local(system):
                return _tried(lambda: system.cat_file(path, start=start, end=start + size), uri)
            self.__exit__()
            self._file, self._end = _opened(path)
            self._archive = uri
        size = min(size, self._end - start)  # an archive may announce anything
        return os.pread(self._file, size, start) if size > 0 else b""


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


def _read_local(path: str) -> bytes:
    file, size = _opened(path)
    try:
        data = os.read(file, size + 1)
        if len(data) == size:
            return data
        pieces = [data]  # it has another size by now, or the system reads no more at a time
        while piece := os.read(file, _PIECE):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(file)


def _opened(path: str) -> tuple[int, int]:
    """A file's descriptor, to be closed, and its bytes. OSError for what is no regular file."""
    if "\0" in path:  # a table may name anything
        raise OSError(errno.EINVAL, "No name of a file", path)
    _check_regular(path, os.stat(path).st_mode)  # noqa: PTH116 (merely to open a device may act)
    # what a pipe has taken the place of since is opened without waiting for its other end
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        about = os.fstat(file)
        _check_regular(path, about.st_mode)
    except OSError:
        os.close(file)
        raise
    return file, about.st_size


def _check_regular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        is_kind = (says for says in _KINDS if says(mode))
        kind = next((_KINDS[says] for says in is_kind), "something else")
        raise OSError(errno.EINVAL, f"Not a regular file but {kind}", path)
