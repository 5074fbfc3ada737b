"""What the blocks of a GIF say: CompuServe's GIF89a specification."""

_EXTENSION, _CONTROL = 0x21, 0xF9  # a graphics control says which colour is transparent


def bare(data: bytes) -> bytes:
    """The file without comments, profiles and what else applications have left before its image."""
    kept, done = [], 0
    at = 13 + _colours(data[10]) if len(data) > 13 else len(data)
    while at + 2 < len(data) and data[at] == _EXTENSION:
        end = at + 2
        while end < len(data) and data[end]:  # blocks of up to 255 bytes, until an empty one
            end += 1 + data[end]
        end += 1
        if data[at + 1] != _CONTROL:
            kept.append(data[done:at])
            done = end
        at = end
    return b"".join([*kept, data[done:]]) if kept else data


def _colours(said: int) -> int:
    """Bytes of the table of colours that a byte of flags announces."""
    return 3 * 2 ** ((said & 7) + 1) if said & 0x80 else 0
