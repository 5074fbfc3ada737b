"""Filesystems: the local disk, and all that fsspec knows by URL."""

from typing import Any

import fsspec

from pipeline.errors import UserError, worded

# what filesystems call that which changes with a file's content, the surest first
_STAMPS = ("ETag", "etag", "md5Hash", "CRC", "mtime", "LastModified", "last_modified", "updated")


def reason(error: OSError) -> str:
    """The cause of an OSError in one line: `Permission denied: '/data/a.jpg'`."""
    if error.strerror is None:
        return str(error).strip() or worded(error)
    return f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror


def filesystem(uri: str, hint: str | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    if "://" not in uri or uri.startswith("/"):  # a local name may hold '::' or '://'
        system = fsspec.filesystem("file")
        return system, system._strip_protocol(uri)
    try:
        return fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise UserError("this kind of URL needs another package", uri, str(error)) from error
    except ValueError as error:
        raise UserError(f"this URL cannot be used: {error}", uri, hint) from error


def is_local(system: fsspec.AbstractFileSystem) -> bool:
    return "file" in system.protocol


def stamp(entry: dict[str, Any]) -> str | None:
    return next((str(entry[name]) for name in _STAMPS if entry.get(name) is not None), None)
