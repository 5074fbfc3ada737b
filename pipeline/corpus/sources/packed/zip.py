"""The members of a zip archive by its directory, and one of them by its place."""

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from pipeline.corpus.sources.packed.members import Member
from pipeline.corpus.sources.packed.tar import ArchiveError

_HEAD = struct.Struct("<4s5H3L2H")  # of a local header: APPNOTE.TXT, 4.3.7
_SLACK = 2048  # bytes read in the place of a name and extra fields whose lengths are not known yet
_STORED, _DEFLATED = 0, 8
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd"}


class Zipped(NamedTuple):
    """A member: `where` in its uri, and its bytes once unpacked."""

    name: str
    where: str
    size: int


def entries(file: IO[bytes]) -> Iterator[Zipped]:
    """The members of a zip, without folders; ArchiveError for what is none."""
    try:
        with zipfile.ZipFile(file) as archive:
            for one in archive.infolist():
                if not one.is_dir():
                    where = f"at={one.header_offset}&packed={one.compress_size}"
                    numbers = f"{where}&bytes={one.file_size}&crc={one.CRC}"
                    yield Zipped(one.filename, numbers, one.file_size)
    except OSError:
        raise
    except Exception as error:  # on a damaged directory the reader raises anything
        raise ArchiveError(f"it is no zip archive, or only a part of one: {error}") from error


def unpacked(member: Member, read: Callable[[int, int], bytes]) -> bytes:
    """A member's content; `read(start, bytes)` reads the archive. OSError where it is damaged.

    Never takes more memory than the member's bytes, as the archive's directory says them.
    """
    at, packed = member.where["at"], member.where["packed"]
    size = member.where["bytes"]
    data = read(at, _HEAD.size + _SLACK + packed)
    if len(data) < _HEAD.size or data[:4] != b"PK\x03\x04":
        raise OSError("the archive is damaged: no member begins here")
    _, _, flags, method, *_, name, extra = _HEAD.unpack_from(data)
    start = _HEAD.size + name + extra
    if start > _HEAD.size + _SLACK:
        data, start = read(at + start, packed), 0
    data = data[start : start + packed]
    if len(data) < packed:
        raise OSError("the archive ends early")
    if flags & 1:
        raise OSError("it is encrypted")
    if method == _DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        except zlib.error as error:
            raise OSError(f"the archive is damaged: {error}") from error
    elif method != _STORED:
        raise OSError(f"packed by {_METHODS.get(method, f'method {method}')}, which is not read")
    if len(data) != size or zlib.crc32(data) != member.where["crc"]:
        raise OSError("the archive is damaged: its checksum differs")
    return data
