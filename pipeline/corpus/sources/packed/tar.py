"""The members of a tar archive by their offsets, in one pass over its headers.

Python's tarfile ends, without a word, at the first header that is damaged. Here what cannot be
understood is a member of its own, `DAMAGE`, and the pass goes on at the next header. Zeros are
passed over, so that archives laid one behind the other are read to the end.
"""

import tarfile
from collections.abc import Iterator
from typing import IO, NamedTuple

_BLOCK = 512
_MOST = 2**20  # bytes of a header and what belongs to it: names of a megabyte are no names
_ZEROS = bytes(_BLOCK)
_SPECIAL = (b"x", b"g", b"X", b"L", b"K")  # headers of names and numbers of the next member
_MOST_SPECIALS = 8  # before one member; real archives have up to four
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

FILE, LINK, OTHER, DAMAGE = "file", "link", "other", "damage"


class Entry(NamedTuple):
    """A member: its data begin at `start` and have `size` bytes.

    Of a LINK `of` is the name of the member that it stands for, of DAMAGE why it is that.
    """

    kind: str
    name: str
    start: int
    size: int
    of: str = ""


class ArchiveError(ValueError):
    """What was given is no such archive; the message says why."""


def entries(file: IO[bytes], size: int) -> Iterator[Entry]:
    """The members of a tar of `size` bytes; folders are left out. ArchiveError for what is none."""
    file.seek(0)
    start = file.read(_BLOCK)
    for mark, name in _PACKED.items():
        if start.startswith(mark):
            raise ArchiveError(f"it is packed with {name}: unpack it, so that members can be found")
    if size < _BLOCK:
        raise ArchiveError(f"it is no tar archive: it has {size} bytes")
    at, any_header = 0, False
    while at < size:
        file.seek(at)
        head = file.read(_BLOCK)
        if head == _ZEROS:
            at += _BLOCK
            continue
        if len(head) < _BLOCK:
            yield Entry(DAMAGE, "", at, len(head), "it ends within a header")
            return
        plain = _plain(head)
        if plain is not None:
            name, length = plain
            found, after = Entry(FILE, name, at + _BLOCK, length), _after(at + _BLOCK, length)
        else:
            found, after = _looked_up(file, at)
        if after == at:
            after = _next_header(file, at + _BLOCK, size)
            if after == size and not any_header:
                raise ArchiveError("it is no tar archive: no header is in it")
            found = found._replace(size=after - at)
        if found is not None:
            yield found
        at, any_header = after, True


def _after(start: int, length: int) -> int:
    return start + -(-length // _BLOCK) * _BLOCK


def _plain(head: bytes) -> tuple[str, int] | None:
    """(name, bytes) of a regular file of which the header says all: a fifth of tarfile's time."""
    if head[156:157] != b"0" or head[257:262] != b"ustar":
        return None
    if not _sum_is_right(head):
        return None
    try:
        length = int(head[124:136].strip(b" \0") or b"0", 8)
    except ValueError:
        return None
    name = head[:100].partition(b"\0")[0]
    if head[262] == 0 and head[345]:  # POSIX; GNU has other things there
        name = head[345:500].partition(b"\0")[0] + b"/" + name
    return name.decode("utf-8", "surrogateescape"), length


def _looked_up(file: IO[bytes], at: int) -> tuple[Entry | None, int]:
    """(member, where the next header lies) by the library; None for a folder.

    Where no header is at `at`, it is DAMAGE, and where the next one lies is not known: `at`.
    """
    specials, end = _specials(file, at)
    if specials > _MOST_SPECIALS:  # the library calls itself for each
        return Entry(DAMAGE, "", at, end - at, f"{specials:,} headers follow each other"), end
    bounded = _Bounded(file)
    bounded.seek(at)
    try:
        archive = tarfile.TarFile(fileobj=bounded, encoding="utf-8", errors="surrogateescape")
        info = archive.next()
    except (tarfile.TarError, ValueError, OverflowError, MemoryError, RecursionError, EOFError):
        info = None
    if info is None or archive.offset <= at:
        return Entry(DAMAGE, "", at, 0, "its header is damaged"), at
    after = archive.offset
    if info.isdir():
        return None, after
    if info.issparse():
        return Entry(DAMAGE, info.name, at, after - at, "sparse files are not read"), after
    if info.isreg():
        return Entry(FILE, info.name, info.offset_data, info.size), after
    if info.islnk() or info.issym():
        folder = info.name.rpartition("/")[0] if info.issym() else ""
        outside = info.linkname.startswith("/") or not folder
        target = info.linkname if outside else f"{folder}/{info.linkname}"
        return Entry(LINK, info.name, at, 0, target), after
    return Entry(OTHER, info.name, at, 0), after


def _specials(file: IO[bytes], at: int) -> tuple[int, int]:
    """(how many headers that say something of the next one lie at `at`, where they end)."""
    count = 0
    while True:
        file.seek(at)
        head = file.read(_BLOCK)
        if head[156:157] not in _SPECIAL or not _sum_is_right(head):
            return count, at
        try:
            length = int(head[124:136].strip(b" \0") or b"0", 8)
        except ValueError:
            return count, at
        count, at = count + 1, _after(at + _BLOCK, length)


def _next_header(file: IO[bytes], at: int, size: int) -> int:
    """Where the next header lies, at `at` or behind it; `size` where there is none."""
    while at < size:
        file.seek(at)
        data = file.read(_MOST)
        if not data:
            break
        found = data.find(b"ustar")
        while found >= 0:
            start = found - 257
            if start >= 0 and start % _BLOCK == 0 and _sum_is_right(data[start : start + _BLOCK]):
                return at + start
            found = data.find(b"ustar", found + 1)
        at += max(_BLOCK, len(data) // _BLOCK * _BLOCK)
    return size


def _sum_is_right(head: bytes) -> bool:
    summed = (head[:148] + head[156:]).translate(None, b"\0")  # zeros, most of it, add nothing
    try:
        return sum(summed) + 256 == int(head[148:156].strip(b" \0"), 8)
    except ValueError:
        return False


class _Bounded:
    """A file of which no more is read at a time than a header may hold."""

    def __init__(self, file: IO[bytes]):
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        """At most `_MOST` bytes; ValueError where more is asked for."""
        if not 0 <= size <= _MOST:
            raise ValueError(f"a header of {size} bytes")
        return self._file.read(size)
