"""Small image files that want a great deal: of memory, or of time. Made without taking any."""

import io
import struct
import zlib

from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of PNG's colour types


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG, with its length and checksum."""
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


def png(width: int, height: int, colour: int = 2, bits: int = 8, before: bytes = b"") -> bytes:
    """A whole black PNG of that colour type (0 grey, 2 RGB, 4 grey and alpha, 6 RGBA).

    `before` are chunks that stand ahead of the pixels.
    """
    row = 1 + -(-width * _CHANNELS[colour] * bits // 8)
    packer = zlib.compressobj(1 if row * height < 1e8 else 6)
    lines = max(1, 2**20 // row)
    body = [packer.compress(bytes(row * lines)) for _ in range(height // lines)]
    body += [packer.compress(bytes(row * (height % lines))), packer.flush()]
    return png_header(width, height, colour, bits) + before + _end(b"".join(body))


def empty_png(width: int, height: int, colour: int = 2, bits: int = 8) -> bytes:
    """A PNG of 69 bytes whose header promises pixels that are not there."""
    return png_header(width, height, colour, bits) + _end(zlib.compress(b"\0" * 4, 9))


def png_header(width: int, height: int, colour: int = 2, bits: int = 8) -> bytes:
    """What a PNG begins with: its signature and size."""
    return _PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


def _end(pixels: bytes) -> bytes:
    return chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_of_scans(count: int, side: int = 4096) -> bytes:
    """A plain progressive JPEG of `side` pixels squared; its last scan makes up `count`."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return data[:last] + scan * (count - data.count(b"\xff\xda") + 1) + data[-2:]


def text(size: int) -> bytes:
    """A packed text of `size` bytes, as a chunk of a PNG."""
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size), 9))


def profile(size: int) -> bytes:
    """A packed colour profile of `size` bytes, as a chunk of a PNG."""
    return chunk(b"iCCP", b"odd\0\0" + zlib.compress(bytes(size), 9))


def gif(width: int, height: int) -> bytes:
    """A GIF of one pixel on a canvas of that size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return screen + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00\x3b"


def tiff(width: int, height: int, tile: tuple[int, int] | None = None, bits: int = 8) -> bytes:
    """A grey deflated TIFF in one strip, or in tiles of that size; next to nothing is in it."""
    body = zlib.compress(b"\0" * 64)
    tags = {256: width, 257: height, 258: bits, 259: 8, 262: 1, 277: 1}
    where, size = (324, 325) if tile else (273, 279)
    tags |= {322: tile[0], 323: tile[1]} if tile else {278: height}
    tags |= {where: 8, size: len(body)}
    start = 8 + len(body)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", start) + body + directory


def many_strips(rows: int, order: str = "<", big: bool = False) -> bytes:
    """An unpacked grey TIFF (or BigTIFF), a pixel wide, whose rows are a strip each."""
    number, short = ("Q", "Q") if big else ("I", "H")
    header = 16 if big else 8
    places = header + rows
    start = places + 8 * rows
    tags = {256: (1, 1), 257: (1, rows), 258: (1, 8), 259: (1, 1), 262: (1, 1)}
    tags |= {273: (rows, places), 277: (1, 1), 278: (1, 1), 279: (rows, places + 4 * rows)}
    head = b"II" if order == "<" else b"MM"
    head += struct.pack(f"{order}HHHQ", 43, 8, 0, start) if big else b""
    head += b"" if big else struct.pack(f"{order}HI", 42, start)
    body = bytes(rows) + struct.pack(f"{order}{rows}I", *range(header, header + rows))
    body += struct.pack(f"{order}{rows}I", *[1] * rows) + struct.pack(f"{order}{short}", len(tags))
    for tag, (count, value) in sorted(tags.items()):
        kind = 16 if big and count == 1 else 4  # a number in the entry itself fills it
        body += struct.pack(f"{order}HH{number}{number}", tag, kind, count, value)
    return head + body + bytes(8)


def saved(mode: str, size: tuple[int, int], format: str, **options: object) -> bytes:
    """A plain image of a mode, as Pillow writes it."""
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, format, **options)
    return stream.getvalue()
