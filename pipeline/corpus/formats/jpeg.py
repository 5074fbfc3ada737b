"""What the markers of a JPEG say: ITU-T T.81, annex B."""

import re
from collections.abc import Iterator

SCAN = 0xDA
_END = 0xD9
# a marker in a JPEG's entropy-coded data: neither a stuffed 255 nor a restart
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

_APPLICATION, _COMMENT = range(0xE0, 0xF0), 0xFE
# what of the segments of applications decides how pixels are shown, by its beginning and the least
# length that libjpeg takes it for what it says: JFIF's and Adobe's colours, EXIF's orientation
_KEPT = {(0xE0, b"JFIF\0"): 14, (0xE1, b"Exif\0"): 6, (0xEE, b"Adobe"): 12}


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, its place, where it ends) of the first image up to its end, or to that of the data.

    Of a scan it is the header's end; its data lie between that and the next segment.
    """
    at = 2
    while at + 2 <= len(data):
        marker = data[at + 1] if data[at] == 255 else 0
        if marker == _END:
            yield marker, at, at + 2
            return
        if marker == 255 or data[at] != 255:  # padding, or bytes that belong nowhere
            at += 1
            continue
        start, at = at, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, start, at
        if marker == SCAN:
            following = _MARKER.search(data, at)
            at = len(data) if following is None else following.start()


def scans(data: bytes, few: int) -> int:
    """How many scans the (first) image in a JPEG has; 0 where there are surely not over `few`."""
    if data.count(bytes((255, SCAN))) <= few:  # other segments may hold these bytes too
        return 0
    return sum(marker == SCAN for marker, _, _ in segments(data))


def bare(data: bytes) -> bytes:
    """The file without comments, profiles and what else applications have left before its pixels.

    JFIF's, EXIF's and Adobe's segments stay where they are as long as libjpeg wants them.
    """
    kept, done, _ = _before_pixels(data)
    return b"".join([*kept, data[done:]]) if kept else data


def head(data: bytes) -> bytes | None:
    """The beginning of `bare`, to the end of its first scan's header; None: there is no scan."""
    kept, done, end = _before_pixels(data)
    return b"".join([*kept, data[done:end]]) if end else None


def _before_pixels(data: bytes) -> tuple[list[bytes], int, int]:
    """(what is kept, where the rest begins, where the first scan's header ends, or 0)."""
    kept, done = [], 0
    for marker, start, end in segments(data):
        if marker in (SCAN, _END):
            return kept, done, end if marker == SCAN else 0
        if marker == _COMMENT or (marker in _APPLICATION and not _wanted(data[start:end])):
            kept.append(data[done:start])
            done = end
    return kept, done, 0


def _wanted(segment: bytes) -> bool:
    said = segment[4:]
    return any(
        segment[1] == marker and said.startswith(name) and len(said) >= least
        for (marker, name), least in _KEPT.items()
    )


def prolonged(data: bytes) -> bytes | None:
    """The file with bytes of no meaning between its data and its end; None where it has no end.

    Decoders skip them, unless they lacked data: then they take these.
    """
    end = next((start for marker, start, _ in segments(data) if marker == _END), None)
    return None if end is None else data[:end] + _NO_MEANING + data[end:]


# no 255, which would be a marker, and ones first: for missing data decoders take zeros
_NO_MEANING = bytes(range(254, 128, -1))
