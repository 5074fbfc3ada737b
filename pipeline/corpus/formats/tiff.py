"""What the directory of a TIFF or BigTIFF says: TIFF 6.0, sections 2, 3, 8 and 15."""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

# Pillow makes an object of each strip or tile as it reads the header. 65,536 rows in a strip each
# are none too many; each takes some 700 bytes and 14 microseconds.
MAX_STRIPS = 2**17

_OFFSETS = (273, 324)  # the tags that say where strips and tiles are, one number each
# words about the image: its document, description, camera, page, software, date, artist, computer
_WORDS = (269, 270, 271, 272, 285, 305, 306, 315, 316)
_OTHERS = 700  # from here on: XMP, IPTC, Photoshop's, profiles, EXIF, and what is private
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8}


def _entries(data: bytes) -> Iterator[tuple[int, int, int, int, str]]:
    """(tag, type, count, place, byte order) of each entry of the first directory that is there."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return
    try:
        if _is_big(data, order):
            (at,) = struct.unpack_from(f"{order}Q", data, 8)
            (tags,) = struct.unpack_from(f"{order}Q", data, at)
            at, entry, each = at + 8, f"{order}HHQ", 20
        else:
            (at,) = struct.unpack_from(f"{order}I", data, 4)
            (tags,) = struct.unpack_from(f"{order}H", data, at)
            at, entry, each = at + 2, f"{order}HHI", 12
        for place in range(at, at + each * min(tags, 2**16), each):
            yield *struct.unpack_from(entry, data, place), place, order
    except (struct.error, OverflowError):
        return


def _is_big(data: bytes, order: str) -> bool:
    return struct.unpack_from(f"{order}H", data, 2) == (43,)


def strips(data: bytes) -> int:
    """Strips or tiles of the first image; 0 of files that are none, or damaged."""
    return max((count for tag, _, count, _, _ in _entries(data) if tag in _OFFSETS), default=0)


def bare(data: bytes) -> bytes:
    """The file with nothing for words, profiles and private data that lie beyond its end.

    Pillow would read no further in the directory, and miss the image.
    """
    found = bytearray(data)
    for tag, kind, count, place, order in _entries(data):
        if tag not in _WORDS and tag < _OTHERS:
            continue
        size, room = _SIZES.get(kind, 1) * count, "Q" if _is_big(data, order) else "I"
        at = place + 4 + struct.calcsize(room)
        inside = size <= struct.calcsize(room)
        if not inside and (
            at + struct.calcsize(room) > len(data)
            or struct.unpack_from(f"{order}{room}", data, at)[0] + size > len(data)
        ):
            nothing = struct.pack(f"{order}H{room}{room}", 1, 1, 0)  # one byte: 0
            found[place + 2 : place + 2 + len(nothing)] = nothing
    return bytes(found) if found != data else data


def lacking(tags: Mapping[int, Any], width: int, height: int) -> tuple[int, int] | None:
    """(strips or tiles that are listed, those that the image takes), if these are more."""
    if 322 in tags and 323 in tags:
        across, down = -(-width // tags[322]), -(-height // tags[323])
    else:
        across, down = 1, -(-height // min(tags.get(278, height), height))
    planes = tags.get(277, 1) if tags.get(284, 1) == 2 else 1
    there = max(len(_several(tags.get(tag, ()))) for tag in _OFFSETS)
    return (there, across * down * planes) if there < across * down * planes else None


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
