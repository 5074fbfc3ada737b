"""A file without what no pixel depends on: texts, profiles, thumbnails, application data.

What a generator writes there (a workflow of a megabyte, packed into four kilobytes) must fail no
image, nor may it be damaged: libpng, libjpeg and libtiff pass it by, and Pillow does not.
"""

from pipeline.corpus.formats import gif, jpeg, png, tiff

_BY_START = {
    png.SIGNATURE: png.bare,
    b"\xff\xd8\xff": jpeg.bare,
    b"GIF8": gif.bare,
    b"II": tiff.bare,
    b"MM": tiff.bare,
}
_HEADS = {png.SIGNATURE: png.head, b"\xff\xd8\xff": jpeg.head}


def bare(data: bytes) -> bytes:
    """The same image; of other formats the data as they are. ValueError as of `png.bare`."""
    for start, without in _BY_START.items():
        if data.startswith(start):
            return without(data)
    return data


def head(data: bytes) -> bytes | None:
    """Of `bare(data)` no more than is read to open it, without a copy of its pixels.

    None of formats that are not read from their beginning on, and where no pixels are found.
    ValueError as of `png.bare`.
    """
    for start, of in _HEADS.items():
        if data.startswith(start):
            return of(data)
    return None
