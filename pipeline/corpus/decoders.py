"""Processes that decode images and prepare them for a model, beside the one that owns the device.

Jobs go through the standard library's ProcessPoolExecutor; pictures and what was prepared of them
come back in shared memory (`pipeline.corpus.blocks`). A process whose parent is gone ends itself.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from threading import Lock, Thread, current_thread, main_thread
from typing import Any

import numpy as np
from PIL import Image

from pipeline.corpus.blocks import Blocks, Place, Writer, attached, looked_at
from pipeline.corpus.opened import ImageError
from pipeline.corpus.sources.read import together
from pipeline.corpus.upright import Row, attempt, content, picture
from pipeline.shipped import imported_from_here

COUNT = "ITEM_DECODERS"  # the variable with the number of processes; 0: threads decode everywhere

# What models' image processors are made of. One process imports it, the fork server that all others
# come from: each for itself takes ten seconds of a core, and a job waits for them wherever it comes
# first.
_IMPORTED = ("torchvision.transforms", "transformers.models.blip.image_processing_blip")
_SMALL = 4096  # bytes: arrays up to this size travel with the answer
# where libraries read how many threads they may use
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

_log = logging.getLogger(__name__)
_pools: dict[int, "Decoders"] = {}
_lock = Lock()

Answer = tuple[int, Any, str | None]
Kept = dict[tuple[str, str], Any]
# row number, prepared, error, the kept pixels' place
_Made = tuple[int, Any, str | None, Place | None]


@dataclass(frozen=True)
class Shared:
    """A decoded image in shared memory: RGB uint8 [h, w, 3], and where other processes find it."""

    pixels: np.ndarray
    place: Place

    def image(self) -> Image.Image:
        """The image, for whoever decodes in this process."""
        return Image.fromarray(self.pixels)


@dataclass(frozen=True)
class _Picture:
    """Marks an array that was an image."""

    pixels: Any


def pool(count: int | None = None) -> "Decoders | None":
    """The decoding processes of this process, started when first asked for; None: use threads.

    `count` is their number; default what ITEM_DECODERS says, else one for each core. A daemonic
    process (a worker that `dask worker` started by default) may have no children: that is said.
    """
    given = os.environ.get(COUNT, "")
    if given == "0":
        return None
    if multiprocessing.current_process().daemon:
        _say_daemonic()
        return None
    wanted = count or (int(given) if given.isdigit() else _cores())
    with _lock:
        if wanted not in _pools:
            _pools[wanted] = Decoders(wanted)
        return _pools[wanted]


def forget() -> None:
    """Ends all decoding processes."""
    with _lock:
        pools = list(_pools.values())
        _pools.clear()
    for one in pools:
        one.close()


class Decoders:
    """`count` processes that decode; any thread may submit. They start when they are made."""

    def __init__(self, count: int):
        context = served(__name__)
        self.count = count
        self._pool = ProcessPoolExecutor(count, context, begin)
        self._prepared, self._pictures = Blocks(), Blocks()
        self._bytes: dict[str, int] = {}  # that a row takes, by what prepares it
        Thread(target=self._start, daemon=True).start()

    def _start(self) -> None:
        """All processes at once, while models are being loaded, not one by one as jobs come."""
        try:
            for _ in range(self.count):
                self._pool.submit(os.getpid)
        except (RuntimeError, OSError) as error:  # closed meanwhile; or the jobs will say it
            _log.debug("decoding processes: %s", error)

    def submit(
        self,
        rows: list[Row],
        given: list[Any] | None,
        pixels: int,
        prepare: Callable[..., Any],
        kept: Kept | None,
        pin: Callable[[Any], None] | None,
    ) -> "Job":
        """Has `prepare` applied to each row's image (of `pixels` together): see `decode`.

        With `kept` the images stay in shared memory, and those that are there are not read again.
        """
        known = [None if kept is None else kept.get(row.key) for row in rows]
        places = [one.place if isinstance(one, Shared) else None for one in known]
        name = getattr(prepare, "__qualname__", type(prepare).__qualname__)
        lease, keep = None, None
        if each := self._bytes.get(name):
            lease = self._prepared.take(each * len(rows), pin)
        if kept is not None and not all(places):
            keep = self._pictures.take(3 * pixels + _SMALL * len(rows))
        names = (lease and lease[0], keep and keep[0])
        try:
            future = self._pool.submit(_work, rows, given, prepare, places, *names)
        except BrokenExecutor:
            raise self._broken() from None
        return Job(self, future, name, lease, keep, kept, rows)

    def learn(self, name: str, each: int) -> None:
        """Remembers how many bytes a row takes when it is prepared by `name`."""
        self._bytes[name] = max(each, self._bytes.get(name, 0))

    def _broken(self) -> RuntimeError:
        """The error for a process that died; the next `pool` is a new one."""
        with _lock:
            if _pools.get(self.count) is self:
                del _pools[self.count]
        self.close()
        return RuntimeError("a process that decodes images died: out of memory, or a bad image")

    def close(self) -> None:
        """Ends the processes without waiting for what they do."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._prepared.close()
        self._pictures.close()


@dataclass(frozen=True)
class Job:
    """Rows on their way through a decoding process."""

    decoders: Decoders
    future: "Future[tuple[list[_Made], int]]"
    name: str
    lease: tuple[str, np.ndarray] | None
    keep: tuple[str, np.ndarray] | None
    kept: Kept | None
    rows: list[Row]

    def result(self) -> list[Answer]:
        """(row, prepared, error) of each row; waits. RuntimeError when the process died."""
        try:
            made, needed = self.future.result()
        except BrokenExecutor:
            raise self.decoders._broken() from None
        if needed:
            self.decoders.learn(self.name, ceil(needed / len(self.rows)))
        answers = []
        for row, (number, prepared, error, place) in zip(self.rows, made, strict=True):
            if place is not None and self.kept is not None and self.keep is not None:
                self.kept[row.key] = Shared(looked_at(place, self.keep[1]), place)
            answers.append((number, self._unpacked(prepared), error))
        return answers

    def cancel(self) -> None:
        """Lets a job that has not begun be."""
        self.future.cancel()

    def _unpacked(self, value: Any) -> Any:
        if isinstance(value, Place) and self.lease is not None:
            return looked_at(value, self.lease[1])
        if isinstance(value, _Picture):
            return Image.fromarray(self._unpacked(value.pixels))
        if isinstance(value, list | tuple):
            return type(value)(self._unpacked(one) for one in value)
        return value


def _packed(value: Any, writer: Writer) -> Any:
    """`value` with its larger arrays and images in shared memory, as far as there is room."""
    if isinstance(value, np.ndarray):
        return value if value.nbytes <= _SMALL else writer.put(value)
    if isinstance(value, Image.Image):
        return _Picture(writer.put(np.asarray(value)))
    if isinstance(value, list | tuple):
        return type(value)(_packed(one, writer) for one in value)
    return value


def _work(
    rows: list[Row],
    given: list[Any] | None,
    prepare: Callable[..., Any],
    places: list[Place | None],
    prepared_block: str | None,
    pictures_block: str | None,
) -> tuple[list[_Made], int]:
    """In a decoding process: what was made of each row, and the bytes that the prepared takes."""
    prepared, pictures = Writer(prepared_block), Writer(pictures_block)
    made: list[_Made] = []

    def read(number: int) -> tuple[bytes | None, str | None]:
        """One row's content, unless its pixels are kept; or why it cannot be read."""
        return (None, None) if places[number] else attempt(partial(content, rows[number]))

    contents = together([row.uri for row in rows], read)

    def work(number: int, row: Row, place: Place | None) -> tuple[Any, Place | None]:
        """What is made of one row's image, and where its pixels are kept."""
        kept = None
        if place is not None and not row.error:
            image = Image.fromarray(looked_at(place, attached(place.block)))
        else:
            data, why = contents[number]
            if why is not None:
                raise ImageError(why)
            image = picture(row, data)
            if pictures_block is not None:
                found = pictures.put(np.asarray(image))
                kept = found if isinstance(found, Place) else None
        more = () if given is None else (given[number],)
        return _packed(prepare(image, *more), prepared), kept

    for number, (row, place) in enumerate(zip(rows, places, strict=True)):
        done, error = attempt(partial(work, number, row, place))
        value, kept = done or (None, None)
        made.append((row.number, value, error, kept))
    return made, prepared.needed


def served(module: str, prepares: bool = True) -> ForkServerContext:
    """What begins processes that have `module` imported, and image processors if they `prepares`.

    Their server is begun here, deaf to Ctrl-C from its first moment: it would end with a traceback.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module, *(_IMPORTED if prepares else ())])
    with imported_from_here(), _deaf():  # the server looks in the current folder otherwise
        forkserver.ensure_running()
    return context


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C is ignored, and by processes that are begun meanwhile for good."""
    if current_thread() is not main_thread():  # which alone may say so
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def begin() -> None:
    """A process that helps this one: one thread, deaf to Ctrl-C, gone when its parent is."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # of libraries that are still to be loaded
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    threadpool_limits(1)
    Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say_daemonic() -> None:
    if "daemonic" not in _said:
        _said.add("daemonic")
        _log.warning(
            "this worker may start no processes, so threads decode: start it with "
            "DASK_DISTRIBUTED__WORKER__DAEMON=False"
        )


_said: set[str] = set()
