"""What the markers of a JPEG say: ITU-T T.81, annex B."""

import re

# a marker in a JPEG's entropy-coded data: neither a stuffed 255 nor a restart
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
SCAN, _END = 0xDA, 0xD9


def scans(data: bytes, few: int) -> int:
    """How many scans the (first) image in a JPEG has; 0 where there are surely not over `few`."""
    if data.count(bytes((255, SCAN))) <= few:  # other segments may hold these bytes too
        return 0
    found, at = 0, 2
    while at + 4 <= len(data):
        marker = data[at + 1] if data[at] == 255 else 0
        if marker == _END:
            break
        if marker == 255 or data[at] != 255:  # padding, or bytes that belong nowhere
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SCAN:
            found += 1
            following = _MARKER.search(data, at)
            if following is None:
                break
            at = following.start()
    return found
