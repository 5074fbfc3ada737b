"""Processes that compute files' tables, apart from this one: an image may kill them, or hang them.

It costs no other image: what was under way is computed again in children that find it
(`pipeline.engine.poison`).
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

import pyarrow as pa

from pipeline import pulse
from pipeline.corpus import decoders
from pipeline.dag.graph import Node
from pipeline.engine.health import silence
from pipeline.engine.machine import default_workers, on_gpu, uses_device
from pipeline.plugins import offered
from pipeline.predict.in_memory import InMemory, Tables
from pipeline.stages.listing import Listing

_AHEAD = 2  # chunks for each process, under way or waiting
_ABOVE = 64  # files for each process: its models are loaded meanwhile by one that has begun
_own: InMemory | None = None  # of a process of `Workers`


def fitting(nodes: Sequence[Node], files: int) -> int:
    """How many processes judge so many files: one beside a GPU, elsewhere one for each core.

    0: they are few, and judged soonest in this process.
    """
    if files <= _ABOVE:
        return 0
    return 1 if on_gpu(nodes) else max(1, min(default_workers(nodes), files // _ABOVE))


class Workers:
    """`count` processes, each with models of its own, on one thread. Use as a context manager.

    One that gives no sign of life for `stall` seconds is ended. They import what the main module of
    this program is, as all of Python's own do: a script that asks for them needs
    `if __name__ == "__main__":`.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        variant: str,
        taken: Listing,
        count: int,
        stall: float | None = None,
    ):
        self._given, self._count, self._stall = (tuple(nodes), variant, taken), count, stall
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: Any) -> None:
        self._close()

    def map(
        self, chunks: Sequence[pa.Table], done: Callable[[int], None]
    ) -> Iterator[tuple[pa.Table, Tables]]:
        """What `InMemory.of_files` gives of each chunk, in order; `done` hears of each chunk."""
        waiting: deque[tuple[pa.Table, Future[Any]]] = deque()
        left = iter(chunks)
        while True:
            while len(waiting) < _AHEAD * self._count and (chunk := next(left, None)) is not None:
                waiting.append((chunk, self._submit(chunk)))
            if not waiting:
                return
            chunk, future = waiting[0]
            try:
                found = future.result()
            except BrokenExecutor:
                self._close()
                others = list(waiting)[1:]
                waiting = deque([waiting[0], *(self._again(one, f) for one, f in others)])
                found = InMemory(*self._given, careful=True, stall=self._stall).of_files(chunk)
            waiting.popleft()
            done(len(chunk))
            yield found

    def _again(self, chunk: pa.Table, future: "Future[Any]") -> "tuple[pa.Table, Future[Any]]":
        """A chunk that was under way or waiting when a process died, unless it is finished."""
        lost = future.cancelled() or future.exception() is not None
        return chunk, self._submit(chunk) if lost else future

    def _submit(self, chunk: pa.Table) -> "Future[Any]":
        if self._pool is None:
            context = decoders.served(__name__, any(map(uses_device, self._given[0])))
            given = (*self._given, self._stall, offered.places())
            self._pool = ProcessPoolExecutor(self._count, context, _begin, given)
        try:
            with _uninterrupted():  # a process that is half begun ends with a traceback
                return self._pool.submit(_work, chunk)
        except BrokenExecutor as error:  # whoever waits for it hears of it as of the others
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def _close(self) -> None:
        """Ends the processes at once, whatever they are at."""
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())  # no public way before 3.14
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            self._pool = None


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until this is over."""
    if current_thread() is not main_thread():  # which alone hears of it
        yield
        return
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if asked:
            raise KeyboardInterrupt


def _begin(
    nodes: tuple[Node, ...],
    variant: str,
    taken: Listing,
    stall: float | None,
    plugins: Sequence[str],
) -> None:
    global _own
    offered.use(plugins)
    decoders.begin()
    silence.ends_process(stall)
    _own = InMemory(nodes, variant, taken)


def _work(files: pa.Table) -> tuple[pa.Table, Tables]:
    if _own is None:
        raise RuntimeError("this process was not begun")
    with pulse.task("images"):
        return _own.of_files(files)
