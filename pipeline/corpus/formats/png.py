"""What the chunks of a PNG say: the W3C's PNG specification, section 11."""

import struct

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of PNG's colour types


def unpacked(data: bytes) -> int:
    """Bytes of a PNG's pixels before they are packed; interlaced ones take more."""
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    return height * (1 + width * bits * _CHANNELS.get(colour, 1) // 8)
