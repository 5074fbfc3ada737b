"""Decoding ahead: the rows of the table `images` to pictures, by threads or by processes.

Threads serve a model that computes on the same cores. Beside a device that takes images faster than
one interpreter lock lets threads decode them, processes do it (`pipeline.corpus.decoders`).
A row of a variant gives the perturbed picture: it is made anew from the file each time, here.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from PIL import Image

from pipeline.corpus import decoders
from pipeline.corpus.limits import of_table
from pipeline.corpus.sources.read import together
from pipeline.corpus.upright import Row, attempt, content, picture
from pipeline.corpus.variants import CLEAN

# Pixels decoded and waiting; a larger image waits alone. 256 MiB: Pillow's RGB takes four bytes.
PIXELS_AHEAD = 2**26

# One hand-over between threads costs as much as decoding a small image, between processes more.
_GROUP_ROWS, _GROUP_PIXELS = 8, 2**20
_JOB_ROWS, _JOB_PIXELS = 16, 2**22

_MOST_THREADS = 16  # beyond it the interpreter's lock is what limits

Decoded = tuple[int, Any, str | None]
Prepare = Callable[..., Any]
_Kept = dict[tuple[str, str], Any]

# decoded images (or where they lie in shared memory) by what decides them, while stages share them
_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@dataclass(frozen=True)
class Beside:
    """A device that images are decoded beside.

    `ahead()` says how many images are to be ready or on their way at any time, and `pixels` how
    many pixels at most, where what waits for the device are undiminished images. `pin(buffer)` is
    told of memory that the device will copy from, once for each buffer.
    """

    ahead: Callable[[], int]
    pixels: int | None = None
    pin: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Group:
    """Rows that one thread or process decodes in one go, `given` for each, and their pixels."""

    rows: list[Row]
    given: list[Any] | None
    pixels: int


def decode(
    images: pa.Table,
    threads: int | None = None,
    prepare: Prepare | None = None,
    given: Sequence[Any] | None = None,
    beside: Beside | None = None,
) -> Iterator[Decoded]:
    """Yields (row, upright RGB image, None) or (row, None, error) for each row, in row order.

    The image is in the variant of its row (`pipeline.corpus.variants`; null is clean).
    `prepare(image)`, or `prepare(image, given[row])`, is called where the image was decoded, in
    several threads at once; what it gives is yielded instead of the image. Within `sharing()` no
    image is decoded twice.

    The content must still have the SHA-256 of `images.sha256`. A row that has an error already
    yields it. Each image is decoded within the limits that `images` carries
    (`corpus.limits.with_limits`). `threads` (default: this process's share of the cores) decode
    ahead, two groups of at most 8 small images each and about PIXELS_AHEAD pixels in all; they end
    with the iterator, however it ends. A single thread only reads files ahead, and the caller's own
    decodes.

    With `beside` as many processes decode instead, as far ahead as the device asks, and `prepare`
    must be what can be sent to them, a function or an object of a module.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"decode needs at least one thread, not {threads}")
    prepare, kept = prepare or _as_it_is, _kept.get()
    if beside is not None and (pool := decoders.pool(threads)) is not None:
        return _in_processes(
            _groups(images, given, _JOB_ROWS, _JOB_PIXELS), pool, prepare, kept, beside
        )
    threads = _share_of_cores() if threads is None else threads
    groups = _groups(images, given, _GROUP_ROWS, _GROUP_PIXELS)
    finish = partial(_decoded, prepare=prepare, kept=kept)
    if threads == 1:  # one that decodes beside a model, on one core, costs it its cache
        return _in_threads(groups, 1, partial(_read, kept=kept), finish)
    return _in_threads(groups, threads, lambda group: finish(_read(group, kept)), list)


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


def _in_threads(
    groups: Iterator[Group],
    threads: int,
    ahead_of: Callable[[Group], Any],
    finish: Callable[[Any], list[Decoded]],
) -> Iterator[Decoded]:
    """Each group's rows: what `finish` makes, here, of what `ahead_of` gave in another thread."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        yield from _in_order(
            groups,
            lambda group: pool.submit(ahead_of, group),
            lambda future: finish(future.result()),
            lambda waiting, rows: waiting >= 2 * threads,
            PIXELS_AHEAD,
        )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_processes(
    groups: Iterator[Group],
    pool: decoders.Decoders,
    prepare: Prepare,
    kept: _Kept | None,
    beside: Beside,
) -> Iterator[Decoded]:
    """Each group's rows, decoded and prepared by the processes of `pool`."""
    return _in_order(
        groups,
        lambda group: pool.submit(group.rows, group.given, group.pixels, prepare, kept, beside.pin),
        lambda job: job.result(),
        lambda waiting, rows: waiting >= 2 * pool.count and rows >= beside.ahead(),
        beside.pixels,
    )


def _in_order(
    groups: Iterator[Group],
    submit: Callable[[Group], Any],
    finish: Callable[[Any], list[Decoded]],
    full: Callable[[int, int], bool],
    most_pixels: int | None,
) -> Iterator[Decoded]:
    """Each group's rows in order, from jobs that are submitted ahead.

    Until `full(groups, rows)` of what is ahead, and within `most_pixels`; one group always passes.
    """
    waiting: deque[tuple[Group, Any]] = deque()
    rows = pixels = 0
    try:
        for group in groups:
            while waiting and (
                full(len(waiting), rows)
                or (most_pixels is not None and pixels + group.pixels > most_pixels)
            ):
                first, job = waiting.popleft()
                rows, pixels = rows - len(first.rows), pixels - first.pixels
                yield from finish(job)
            waiting.append((group, submit(group)))
            rows, pixels = rows + len(group.rows), pixels + group.pixels
        while waiting:
            yield from finish(waiting.popleft()[1])
    finally:
        for _, job in waiting:
            job.cancel()


def _groups(
    images: pa.Table, given: Sequence[Any] | None, most_rows: int, most_pixels: int
) -> Iterator[Group]:
    """Runs of rows, and the pixels in each: small images share one hand-over."""
    names = ("uri", "sha256", "variant", "error", "width", "height")
    columns = (images[name].to_pylist() for name in names)
    limits = of_table(images)
    rows: list[Row] = []
    total = 0

    def group() -> Group:
        own = None if given is None else [given[row.number] for row in rows]
        return Group(rows, own, total)

    for number, (uri, sha256, variant, error, width, height) in enumerate(
        zip(*columns, strict=True)
    ):
        pixels = 0 if error else (width or 0) * (height or 0)
        if rows and (len(rows) == most_rows or total + pixels > most_pixels):
            yield group()
            rows, total = [], 0
        rows.append(Row(number, uri, sha256, variant or CLEAN, error, limits))
        total += pixels
    if rows:
        yield group()


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


_Read = list[tuple[Any, str | None]]  # for each row its content, or what is kept; or why neither


def _read(group: Group, kept: _Kept | None) -> tuple[Group, _Read]:
    def read(number: int) -> tuple[Any, str | None]:
        """One row's content, or what is kept of it; or why neither."""
        row = group.rows[number]
        known = None if kept is None or row.error else kept.get(row.key)
        return attempt(partial(content, row)) if known is None else (known, None)

    return group, together([row.uri for row in group.rows], read)


def _decoded(read: tuple[Group, _Read], prepare: Prepare, kept: _Kept | None) -> list[Decoded]:
    group, found = read

    def prepared(place: int) -> Any:
        """What is made of one row's image, read before or kept."""
        row, known = group.rows[place], found[place][0]
        if isinstance(known, decoders.Shared):  # decoded by a process, for another stage
            known = known.image()
        image = picture(row, known) if isinstance(known, bytes) else known
        if kept is not None:
            kept.setdefault(row.key, image)
        more = () if group.given is None else (group.given[place],)
        return prepare(image, *more)

    return [
        (row.number, *((None, why) if why else attempt(partial(prepared, place))))
        for place, (row, (_, why)) in enumerate(zip(group.rows, found, strict=True))
    ]
