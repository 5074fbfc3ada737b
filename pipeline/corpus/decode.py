"""Decoding: the rows of the table `images` to upright RGB pictures, read ahead by a few threads.

A row of a variant gives the perturbed picture: it is made anew from the file each time, here.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageFile

from pipeline.corpus.describe import ImageError, open_image, orientation
from pipeline.corpus.perturb import perturb
from pipeline.corpus.source import read_bytes, reason
from pipeline.corpus.variants import CLEAN

# Pixels decoded and waiting; a larger image waits alone. 256 MiB: Pillow's RGB takes four bytes.
PIXELS_AHEAD = 2**26

# One hand-over from thread to thread costs as much as decoding a small image.
_GROUP_ROWS = 8
_GROUP_PIXELS = 2**20

_MOST_THREADS = 16  # beyond it the one thread that collects and feeds a GPU is what limits

Decoded = tuple[int, Any, str | None]
Prepare = Callable[[int, Image.Image], Any]
_Row = tuple[int, str, str, str, str | None]  # row, uri, sha256, variant, error
_Kept = dict[tuple[str, str], Image.Image]

# decoded images by their files' SHA-256 and variant, while stages share them
_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(
    images: pa.Table, threads: int | None = None, prepare: Prepare | None = None
) -> Iterator[Decoded]:
    """Yields (row, upright RGB image, None) or (row, None, error) for each row, in row order.

    The image is in the variant of its row (`pipeline.corpus.variants`; null is clean).
    `prepare(row, image)` is called where the image was decoded, in several threads at once; what it
    gives is yielded instead of the image. Within `sharing()` no image is decoded twice.

    The content must still have the SHA-256 of `images.sha256`. A row that has an error already
    yields it. `threads` (default: this process's share of the cores) decode ahead, two groups of at
    most 8 small images each and about PIXELS_AHEAD pixels in all; they end with the iterator,
    however it ends. A single thread only reads files ahead, and the caller's own decodes.
    """
    threads = _share_of_cores() if threads is None else threads
    if threads < 1:
        raise ValueError(f"decode needs at least one thread, not {threads}")
    finish = partial(_decode_group, prepare=prepare or _as_it_is, kept=_kept.get())
    read = partial(_read_group, kept=_kept.get())
    if threads == 1:  # one that decodes beside a model, on one core, costs it its cache
        return _in_row_order(images, 1, read, finish)
    return _in_row_order(images, threads, lambda group: finish(read(group)), list)


def _share_of_cores() -> int:
    """What OMP_NUM_THREADS says, which the engine sets to cores / workers; else the cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    share = int(given) if given.isdigit() else os.cpu_count() or 1
    return max(1, min(share, _MOST_THREADS))


@contextmanager
def sharing() -> Iterator[None]:
    """Within it, what `decode` decodes is kept for the next `decode` of the same image.

    For a run of images that fit into memory together: nothing is dropped before the end.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def decode_bytes(data: bytes) -> Image.Image:
    """One upright RGB image from a file's content; ImageError when it is no whole image.

    EXIF orientation is applied. Transparency is laid over white, as a viewer shows it. Of an
    animation the first frame is taken. 16-bit grey is divided by 257 (its full range becomes
    0..255, where Pillow's own conversion would clip); 16-bit colour is cut to 8 bits by Pillow.
    CMYK is converted without a colour profile, and embedded profiles are not applied. 32-bit and
    floating point greys have no agreed range, so they are errors.
    """
    image = open_image(data)
    orientation(image)  # read now: behind the pixels a PNG may bring another one, never described
    try:
        image.load()
        turn = _UPRIGHT.get(orientation(image))  # none any more for TIFF: Pillow turns it in load
        image = _rgb(image)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise anything on damaged data
        raise ImageError(str(error) or type(error).__name__) from error
    return image if turn is None else image.transpose(turn)


def _in_row_order(
    images: pa.Table,
    threads: int,
    ahead_of: Callable[[list[_Row]], Any],
    finish: Callable[[Any], list[Decoded]],
) -> Iterator[Decoded]:
    """Each group's rows: what `finish` makes, here, of what `ahead_of` gave in another thread."""
    # another library may have set it; half an image must never pass for a whole one
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    waiting: deque[tuple[int, Future[Any]]] = deque()
    ahead = 0
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        for group, pixels in _groups(images):
            while waiting and (len(waiting) >= 2 * threads or ahead + pixels > PIXELS_AHEAD):
                ahead -= waiting[0][0]
                yield from finish(waiting.popleft()[1].result())
            waiting.append((pixels, pool.submit(ahead_of, group)))
            ahead += pixels
        while waiting:
            yield from finish(waiting.popleft()[1].result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _groups(images: pa.Table) -> Iterator[tuple[list[_Row], int]]:
    """Runs of rows, and the pixels in each: small images share one hand-over between threads."""
    names = ("uri", "sha256", "variant", "error", "width", "height")
    columns = (images[name].to_pylist() for name in names)
    group: list[_Row] = []
    total = 0
    for row, (uri, sha256, variant, error, width, height) in enumerate(zip(*columns, strict=True)):
        pixels = 0 if error else (width or 0) * (height or 0)
        if group and (len(group) == _GROUP_ROWS or total + pixels > _GROUP_PIXELS):
            yield group, total
            group, total = [], 0
        group.append((row, uri, sha256, variant or CLEAN, error))
        total += pixels
    if group:
        yield group, total


def _as_it_is(row: int, image: Image.Image) -> Image.Image:
    return image


def _read_group(group: list[_Row], kept: _Kept | None) -> list[tuple[_Row, bytes | None]]:
    """The rows, each with its file's content, or None where that is not needed or not to be had."""
    found: list[tuple[_Row, bytes | None]] = []
    for row in group:
        number, uri, sha256, variant, error = row
        data = None
        if not error and not (kept and (sha256, variant) in kept):
            try:
                data = _read(uri, sha256)
            except ImageError as failure:
                row = (number, uri, sha256, variant, str(failure))
        found.append((row, data))
    return found


def _decode_group(
    group: list[tuple[_Row, bytes | None]], prepare: Prepare, kept: _Kept | None
) -> list[Decoded]:
    decoded: list[Decoded] = []
    for (row, _, sha256, variant, error), data in group:
        try:
            if error:
                raise ImageError(error)
            image = kept.get((sha256, variant)) if kept else None
            if image is None:
                image, _ = perturb(decode_bytes(data), variant, sha256[:32])
                if kept is not None:
                    kept[sha256, variant] = image
            decoded.append((row, prepare(row, image), None))
        except ImageError as failure:
            decoded.append((row, None, str(failure)))
    return decoded


def _read(uri: str, sha256: str) -> bytes:
    try:
        data = read_bytes(uri)
    except OSError as error:
        raise ImageError(f"file cannot be read: {reason(error)}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImageError("file has changed since it was listed (its SHA-256 differs)")
    return data


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(image).astype(np.uint32)  # Pillow reads 16-bit PGM as mode I
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ImageError(
            f"grey values of mode {image.mode} have no agreed range: save 8 or 16 bits"
        )
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
