"""The size in a JPEG XL header, against files of its reference encoder; and damaged ones."""

import pytest

from pipeline.corpus.formats import jxl

# first bytes of files that cjxl's library wrote of pictures of these sizes
HEADS = {
    (1, 1): "ff0a0090010013880200",
    (8, 8): "ff0a41060013880200b800b5",
    (256, 256): "ff0a7f0600138802002001b5",
    (1920, 1080): "ff0aba211d001388020090c0",
    (3000, 2): "ff0a08806ed7001388020068",
    (64, 8): "ff0a01ce0013880200b400b5",
}


def container(*boxes: tuple[bytes, bytes]) -> bytes:
    data = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
    for kind, body in boxes:
        data += (len(body) + 8).to_bytes(4, "big") + kind + body
    return data


@pytest.mark.parametrize("size", HEADS)
def test_size(size):
    stream = bytes.fromhex(HEADS[size]).ljust(24, b"\0")
    assert jxl.size(stream) == size
    assert jxl.size(container((b"ftyp", b"jxl "), (b"jxlc", stream))) == size
    pieces = (b"jxlp", b"\0\0\0\0" + stream[:5]), (b"jxlp", b"\x80\0\0\1" + stream[5:])
    assert jxl.size(container(*pieces)) == size


def test_what_is_none_and_what_is_damaged():
    assert jxl.size(b"\x89PNG") is None
    for data in (b"\xff\x0a\x00", container((b"ftyp", b"jxl ")), container((b"jxlc", b""))):
        with pytest.raises(ValueError, match="without an image"):
            jxl.size(data)


def test_exif_is_a_box():
    assert jxl.has_exif(container((b"Exif", b"\0\0\0\0II*\0")))
    assert not jxl.has_exif(container((b"jxlc", b"Exif")))
    assert not jxl.has_exif(b"\xff\x0a" + b"\0\0\0\x08Exif")
