"""Weights at a plain URL (some open_clip tags): a resumable download, known by its hash."""

import os
import re
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from pipeline.errors import UserError
from pipeline.models.weights.open_clip_tags import sha256

_CHUNK = 1 << 20  # bytes read at a time
_PATIENCE = 30  # seconds without an answer
_NEXT = "run the same command again: it goes on where it stopped"


def size(url: str) -> int:
    """Bytes of the file at `url`; UserError when it cannot be reached."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=_PATIENCE) as answer:  # noqa: S310
            return int(answer.headers.get("Content-Length") or 0)
    except (OSError, URLError, ValueError) as error:
        raise UserError(f"the weights cannot be reached: {error}", url, _NEXT) from error


def absent(path: Path, sizes: dict[str, int], digest: str | None) -> dict[str, int]:
    """`sizes` when the file is not here, or not the one with this SHA-256; else nothing."""
    expected = sizes.get(path.name, 0)
    if not path.is_file() or (expected and path.stat().st_size != expected):
        return sizes
    return {} if digest is None or sha256(path) == digest else sizes


def download(url: str, path: Path, digest: str | None) -> str:
    """Brings the file of `url` to `path`, resuming a part that is there; returns its SHA-256.

    UserError when the connection breaks, or when the content is not what `digest`, or the hash in
    the URL itself (OpenAI's and open_clip's releases have one), says.
    """
    expected = digest or _named(url)
    if path.is_file() and sha256(path).startswith(expected):
        return sha256(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        _append(url, part)
    except (OSError, URLError) as error:
        raise UserError(f"the download broke: {error}", url, _NEXT) from error
    found = sha256(part)
    if not found.startswith(expected):
        part.unlink()
        raise UserError(
            f"the downloaded weights have the SHA-256 {found[:16]}…, not {expected[:16]}…",
            url,
            "run the same command again; if it stays so, the file at the URL was changed",
        )
    part.replace(path)
    return found


def _append(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with urlopen(Request(url, headers=headers), timeout=_PATIENCE) as answer:  # noqa: S310
        resumed = answer.status == 206
        with part.open("ab" if resumed else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


def _named(url: str) -> str:
    """The (start of the) SHA-256 that a URL names its file by; empty when it does not."""
    found = re.search(r"/([0-9a-f]{64})/|-([0-9a-f]{8,64})\.pt$", url)
    return next((part for part in found.groups() if part), "") if found else ""
