"""The uris of what lies in an archive or a table: `tar://0001.jpg?at=1536&bytes=59000::/data/a.tar`.

As in fsspec's chains what is inside comes first, and where it lies after `::`. What is between `?`
and `::` says where inside, so that one member is read without a look at any other. In the name
`%`, `?`, `#`, `:`, control characters and bytes that are not UTF-8 are percent-encoded.
"""

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

import pyarrow as pa
import pyarrow.compute as pc

TAR, ZIP, PARQUET = "tar", "zip", "parquet"

_PATTERN = r"(tar|zip|parquet)://([^?:]*)\?([^:]*)::(.+)"
_MEMBER = re.compile(_PATTERN, re.DOTALL)
# for whoever replaces one by the other: a member's place as if its archive were a folder
MEMBER = r"^(?:tar|zip|parquet)://(?:\./|/)*([^?:]*)\?[^:]*::(.+)$"
AS_IN_FOLDER = r"\2/\1"
_ENCODED = re.compile(r"[%?#:\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True)
class Member:
    """What a uri says: the `kind` of the archive, the `name` in it, and the numbers behind it."""

    kind: str
    name: str
    archive: str  # its uri
    where: dict[str, int]


def member_uri(kind: str, name: str, archive: str, where: str) -> str:
    """The uri of a member; `where` is like `at=1536&bytes=59000`."""
    return f"{kind}://{_ENCODED.sub(_quoted, name)}?{where}::{archive}"


def parsed(uri: str) -> Member | None:
    """What the uri of a member says; None for every other uri."""
    found = _MEMBER.fullmatch(uri)
    if found is None:
        return None
    kind, name, numbers, archive = found.groups()
    pairs = (one.partition("=") for one in numbers.split("&"))
    try:
        where = {key: int(number) for key, _, number in pairs}
    except ValueError:
        return None
    return Member(kind, _plain(name), archive, where)


def archives_of(uris: pa.ChunkedArray) -> pa.ChunkedArray:
    """The uris of the archives that members lie in; of every other uri itself."""
    return pc.replace_substring_regex(uris, f"(?s)^{_PATTERN}$", r"\4")


def tidy(name: str) -> str:
    """A name in an archive as a path: without `./` and `/` before it."""
    while name.startswith(("./", "/")):
        name = name[1:] if name[0] == "/" else name[2:]
    return name


def _quoted(found: re.Match[str]) -> str:
    return quote(os.fsencode(found[0]))


def _plain(name: str) -> str:
    return os.fsdecode(unquote_to_bytes(name)) if "%" in name else name
