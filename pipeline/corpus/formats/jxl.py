"""The header of a JPEG XL file, which its decoder would read no further than all pixels."""

from collections.abc import Iterator

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_HEAD = 16  # bytes of a codestream in which its size is told

# a side's bits, by the two bits before it (ISO/IEC 18181-1, SizeHeader)
_SIDE_BITS = (9, 13, 18, 30)
# width / height, by the three bits before it
_RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels as coded; None of what is no JPEG XL file. ValueError: damaged."""
    if not is_jxl(data):
        return None
    head = _codestream(data)[2:_HEAD]
    if len(head) < 9:
        raise ValueError("a JPEG XL file without an image in it")
    bits = int.from_bytes(head, "little")

    def taken(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def side(small: int) -> int:
        return 8 * (taken(5) + 1) if small else taken(_SIDE_BITS[taken(2)]) + 1

    small = taken(1)
    height = side(small)
    ratio = _RATIOS[taken(3)]
    width = side(small) if ratio is None else height * ratio[0] // ratio[1]
    return width, height


def is_jxl(data: bytes) -> bool:
    """Whether a file begins as JPEG XL does, bare or in its container."""
    return data.startswith((_CODESTREAM, _CONTAINER))


def has_exif(data: bytes) -> bool:
    """Whether a JPEG XL file has a box of EXIF."""
    return any(kind == b"Exif" for kind, _ in _boxes(data))


def _codestream(data: bytes) -> bytes:
    """At least the beginning of the codestream; empty where there is none."""
    if data.startswith(_CODESTREAM):
        return data[:_HEAD]
    head = b""
    for kind, body in _boxes(data):
        if kind == b"jxlc":
            return body
        if kind == b"jxlp":  # in pieces, each with four bytes of its number
            head += body[4:]
            if len(head) >= _HEAD:
                break
    return head


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, how its content begins) of each box of a container."""
    at = 0
    while data.startswith(_CONTAINER) and at + 8 <= len(data):
        length, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        kind = data[at + 4 : start]
        if length == 1:
            length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        whole = length >= start - at  # 0: to the end of the file
        yield kind, data[start : min(at + length, start + 4 + _HEAD) if whole else start + _HEAD]
        if not whole:
            return
        at += length
