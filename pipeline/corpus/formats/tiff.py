"""How many strips or tiles a TIFF is in: Pillow makes an object of each as it reads the header."""

import struct

# 65,536 rows in a strip each are none too many; each takes some 700 bytes and 14 microseconds.
MAX_STRIPS = 2**17

_OFFSETS = (273, 324)  # the tags that say where strips and tiles are, one number each


def strips(data: bytes) -> int:
    """Strips or tiles of the first image in a TIFF or BigTIFF; 0 for other and damaged files."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return 0
    try:
        (magic,) = struct.unpack_from(f"{order}H", data, 2)
        if magic == 43:  # BigTIFF
            (at,) = struct.unpack_from(f"{order}Q", data, 8)
            (tags,) = struct.unpack_from(f"{order}Q", data, at)
            at, entry, each = at + 8, f"{order}HHQ", 20
        else:
            (at,) = struct.unpack_from(f"{order}I", data, 4)
            (tags,) = struct.unpack_from(f"{order}H", data, at)
            at, entry, each = at + 2, f"{order}HHI", 12
        most = 0
        for _ in range(min(tags, 2**16)):
            tag, _, count = struct.unpack_from(entry, data, at)
            most, at = max(most, count if tag in _OFFSETS else 0), at + each
        return most
    except (struct.error, OverflowError):
        return 0
