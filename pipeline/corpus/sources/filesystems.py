"""Filesystems: the local disk, and all that fsspec knows by URL."""

import os
from pathlib import Path
from typing import IO, Any

import fsspec

from pipeline.errors import UserError, worded

# what filesystems call that which changes with a file's content, the surest first
_STAMPS = ("ETag", "etag", "md5Hash", "CRC", "mtime", "LastModified", "last_modified", "updated")

_AHEAD = 2**22  # bytes
_BUSY = (408, 425, 429)  # HTTP: request timeout, too early, too many requests
_FINAL = (
    *(FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError),
    *(ImportError, NotImplementedError, TypeError, AttributeError, LookupError, ValueError),
)


def reason(error: OSError) -> str:
    """The cause of an OSError in one line: `Permission denied: '/data/a.jpg'`."""
    if error.strerror is None:
        return str(error).strip() or worded(error)
    return f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror


def filesystem(uri: str, hint: str | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem of a uri, and the name in it; UserError where there is none for it."""
    if "://" not in uri or uri.startswith("/"):  # a local name may hold '::' or '://'
        system = fsspec.filesystem("file")
        return system, system._strip_protocol(uri)
    try:
        return fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise UserError("this kind of URL needs another package", uri, str(error)) from error
    except ValueError as error:
        raise UserError(f"this URL cannot be used: {error}", uri, hint) from error


def passing(error: Exception) -> bool:
    """Whether what a remote filesystem raised may be over at the next try."""
    if isinstance(error, _FINAL):
        return False
    status = getattr(error, "status", None)  # aiohttp's
    return not isinstance(status, int) or status in _BUSY or status >= 500


def is_local(system: fsspec.AbstractFileSystem) -> bool:
    """Whether a filesystem is this machine's own."""
    return "file" in system.protocol


def stamp(entry: dict[str, Any]) -> str | None:
    """What an entry of `ls` or `info` has that changes with the file's content."""
    return next((str(entry[name]) for name in _STAMPS if entry.get(name) is not None), None)


def opened(uri: str) -> tuple[IO[bytes], int]:
    """A file to be read from any place, and its bytes. Raises OSError.

    Neither is buffered on this machine; elsewhere what is near is read ahead.
    """
    system, path = filesystem(uri)
    try:
        if is_local(system):
            file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (closed by who asked for it)
            return file, os.fstat(file.fileno()).st_size
        size = system.size(path)
        return system.open(path, "rb", block_size=_AHEAD, cache_type="readahead"), size
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise OSError(worded(error)) from error
