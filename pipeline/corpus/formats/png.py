"""What the chunks of a PNG say: the W3C's PNG specification, sections 5 and 11."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of the colour types
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_KEPT = (*_CRITICAL, b"tRNS")  # and eXIf, for the orientation, if it is whole
_ANCILLARY = 0x20  # of a name's first letter: a decoder may leave the chunk out
# first column and row, and the steps from there on, of the seven passes of an interlaced image
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_PIECE = 2**20  # bytes unpacked at a time


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, its place, where it ends) of each whole chunk, up to the image's end."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        name = data[at + 4 : at + 8]
        start, at = at, at + 12 + int.from_bytes(data[at : at + 4], "big")
        if at > len(data):
            return
        yield name, start, at
        if name == b"IEND":
            return


def bare(data: bytes) -> bytes:
    """The file without texts, profiles and what else no pixel depends on, wherever they stand.

    What is cut off at the end stays cut off. Raises ValueError for a chunk that a decoder must
    know, and that none does.
    """
    kept, done = [SIGNATURE], len(SIGNATURE)
    for name, start, end in _known(data):
        if _is_kept(name, data, start, end):
            kept.append(data[start:end])
        done = end
    return b"".join([*kept, data[done:]])


def head(data: bytes) -> bytes | None:
    """The beginning of `bare`, to the first pixels; None: there are none. ValueError as of it."""
    kept, found = [SIGNATURE], None
    for name, start, end in _known(data):
        if found is None and name == b"IDAT":
            found = b"".join([*kept, data[start : start + 8]])
        elif found is None and _is_kept(name, data, start, end):
            kept.append(data[start:end])
    return found


def _known(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    for name, start, end in chunks(data):
        if name not in _CRITICAL and not name[0] & _ANCILLARY:
            raise ValueError(f"its chunk {name!r} cannot be left out, and is not known")
        yield name, start, end


def _is_kept(name: bytes, data: bytes, start: int, end: int) -> bool:
    return name in _KEPT or (name == b"eXIf" and _is_whole(data[start:end]))


def _is_whole(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def unpacked(data: bytes) -> int:
    """Bytes of the pixels, each row with its filter's, before they are packed."""
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    pixel = bits * _CHANNELS.get(colour, 1)

    def of(across: int, down: int) -> int:
        return down * (1 + -(-across * pixel // 8)) if across > 0 else 0

    if not interlaced:
        return of(width, height)
    return sum(
        of(-(-(width - x) // wide), max(0, -(-(height - y) // high))) for x, y, wide, high in _ADAM7
    )


def packed(data: bytes) -> int:
    """Bytes of pixels that the data hold, counted up to `unpacked`; none of them is kept."""
    wanted, found, stream = unpacked(data), 0, zlib.decompressobj()
    for name, start, end in chunks(data):
        rest = data[start + 8 : end - 4] if name == b"IDAT" else b""
        while rest and found < wanted and not stream.eof:
            found += len(stream.decompress(rest, _PIECE))
            rest = stream.unconsumed_tail
    return found
