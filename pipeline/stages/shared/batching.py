"""The loop that every image stage shares: items in, batches through a model, rows out."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Annotated, Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline import pulse, tables
from pipeline.corpus.decode import Beside
from pipeline.errors import UserError, transient
from pipeline.models.transfer import pin
from pipeline.models.turns import turn

# row (or rows that share one image), what the model takes of it, or why there is nothing
Item = tuple[Any, Any, str | None]
Size = Annotated[int, Field(ge=1)] | Literal["auto"]
Result = TypeVar("Result")

NOT_FINITE = "embedding is not finite"
_MAX_PIXELS = 32_000_000  # of the undiminished images in one batch: 96 MB
_AHEAD = 3  # batches of images that are ready or on their way
# where `auto` begins: on a CPU a layer's output must stay in the cache (ViTs of any size are up to
# 17 % slower in batches of 64), a device wants all its units busy
_AUTO = {"cpu": 16}
_AUTO_ON_A_DEVICE = 64
_MOST = 1024  # and where growing ends
_WORTH = 1.02  # a batch twice as large is better when its rate is this much higher

_log = logging.getLogger(__name__)


class Limit:
    """How many items a batch may have now: `size`, or less once memory has run out.

    `auto` grows on a device: twice as many, for as long as that gives more items a second. What was
    found holds for this model and this `kind` of item for as long as the model stays loaded.
    """

    def __init__(self, adapter: Any, size: Size, kind: str, begin: int | None = None):
        self.adapter, self.on_device = adapter, not _on_cpu(adapter)
        self.worked = False  # for any item so far
        self._found = _known.setdefault(adapter, {}).setdefault(kind, _Found())
        self._kind = kind
        auto = begin or (_AUTO_ON_A_DEVICE if self.on_device else _AUTO["cpu"])
        if size != "auto":
            self._asked: int = size
        else:
            self._asked = self._found.best or auto
        self.growing = size == "auto" and self.on_device and self._found.best is None

    def __call__(self) -> int:
        return min(self._asked, self._found.fits or self._asked)

    def beside(self, pixels: int | None = None) -> Beside | None:
        """How images are decoded for this model; `pixels` where it takes them undiminished."""
        if not self.on_device:
            return None
        return Beside(lambda: _AHEAD * self(), pixels, pin)

    def halve(self, count: int) -> None:
        """Memory ran out with `count` items."""
        self._found.fits = max(1, count // 2)
        self._settle(self())
        _log.warning("out of memory: batches of %d from now on", self._found.fits)

    def forgive(self) -> None:
        """It was a single item that memory ran out for: others may fit together as before."""
        self._found.fits = None

    def check_worked(self, why: str) -> None:
        """After an item without memory for it: UserError where there was some for no item yet."""
        if not self.worked:
            raise UserError(
                "the device runs out of memory with a single item",
                why,
                "use a smaller model, a lower `precision`, fewer beams, fewer workers on this "
                "device, or another `device`",
            )

    def timed(self, count: int, seconds: float) -> None:
        """A batch of `count` took this long: grows, or settles for the size that was best."""
        if not self.growing or count != self():
            return
        rates = self._found.rates
        rates.setdefault(count, []).append(count / seconds)
        if len(rates[count]) < 2:  # the first one of a size pays for what is made once
            return
        before = rates.get(count // 2)
        if before is not None and rates[count][-1] < _WORTH * before[-1]:
            self._settle(count // 2)
        elif 2 * count > _MOST:
            self._settle(count)
        else:
            self._asked = 2 * count

    def _settle(self, size: int) -> None:
        if not self.growing:
            return
        self.growing = False
        if self._found.best is None:  # another task on this device may have been quicker
            self._found.best = size
            rates = self._found.rates.get(size)
            pace = f", {rates[-1]:,.0f} a second" if rates else ""
            device = self.adapter.device
            _log.warning("batches of %d %s on %s%s", size, self._kind, device, pace)
        self._asked = self._found.best


class _Found:
    """What is known of one kind of item on one loaded model."""

    def __init__(self) -> None:
        self.best: int | None = None  # the batch that `auto` has settled for
        self.fits: int | None = None  # more than this, and memory runs out
        self.rates: dict[int, list[float]] = {}  # items a second, by the batch's size


_known: "WeakKeyDictionary[Any, dict[str, _Found]]" = WeakKeyDictionary()


def settled(adapter: Any) -> dict[str, int]:
    """The batch sizes that `auto` has settled for on a loaded model, by kind of item."""
    found = _known.get(adapter, {})
    return {kind: one.best for kind, one in found.items() if one.best is not None}


def _on_cpu(adapter: Any) -> bool:
    return getattr(getattr(adapter, "device", None), "type", "cpu") == "cpu"


def infer(
    items: Iterable[Item],
    limit: Limit,
    model: Callable[[list[Any]], Any],
    errors: list[str | None] | np.ndarray,
    finish: Callable[[Any], Iterable[Result]] = iter,
) -> Iterator[tuple[Any, Result]]:
    """(row, result) for each item that there is something of, in order, `limit` items at a time.

    `model` takes prepared items; `finish` makes one result for each of what it gave, one batch
    later: a device still computes while the next batch is collected. Why an item is not there goes
    into `errors` at its row. A batch of large undiminished images is cut short, so that memory does
    not grow with the images' size.

    Model calls on one device take turns, whichever threads they come from. When the device runs out
    of memory, the batch is halved, and its model never gets a larger one again. A single item that
    is too much gets an error too; UserError when all are.
    """
    # what a batch holds stays as it is until its result is there: it may still be on its way
    running: deque[tuple[list[Any], list[Any], Any]] = deque()
    refused: list[str] = []

    def refuse(row: Any, why: str) -> None:
        limit.forgive()
        errors[row] = transient(why)
        refused.append(why)

    for rows, batch in _batches(items, limit, errors):
        if limit.growing:
            while running:
                yield from _finished(running, finish)
            with turn(limit.adapter, idle=True):  # so that it is only this batch that takes time
                started, count = perf_counter(), len(batch)
                running.extend(_halving(rows, batch, limit, model, refuse))
                results = [one for _ in range(len(running)) for one in _finished(running, finish)]
                limit.timed(count, perf_counter() - started)
            yield from results
            continue
        for launched in _halving(rows, batch, limit, model, refuse):
            running.append(launched)
            if len(running) > 1:
                yield from _finished(running, finish)
    while running:
        yield from _finished(running, finish)
    if refused:
        limit.check_worked(refused[0])


def _finished(
    running: deque[tuple[list[Any], list[Any], Any]], finish: Callable[[Any], Iterable[Result]]
) -> Iterator[tuple[Any, Result]]:
    rows, _, result = running.popleft()
    pulse.beat()  # each batch is a sign of life
    yield from zip(rows, finish(result), strict=True)


def _batches(
    items: Iterable[Item], limit: Limit, errors: list[str | None] | np.ndarray
) -> Iterator[tuple[list[Any], list[Any]]]:
    rows: list[Any] = []
    batch: list[Any] = []
    pixels = 0
    for row, item, error in items:
        if item is None:
            errors[row] = error or "the image could not be read"
            continue
        here = getattr(item, "width", 0) * getattr(item, "height", 0)
        here = getattr(item, "area", here)
        if batch and pixels + here > _MAX_PIXELS:
            yield rows, batch
            rows, batch, pixels = [], [], 0
        rows.append(row)
        batch.append(item)
        pixels += here
        if len(batch) >= limit():
            yield rows, batch
            rows, batch, pixels = [], [], 0
    if batch:
        yield rows, batch


def _halving(
    rows: list[Any],
    batch: list[Any],
    limit: Limit,
    model: Callable[[list[Any]], Any],
    refuse: Callable[[Any, str], None],
) -> Iterator[tuple[list[Any], list[Any], Any]]:
    """(rows, batch, what the model gave), or the same of its halves where memory runs out.

    `refuse(row, why)` is told of a single item that there is no memory for.
    """
    with turn(limit.adapter):
        result, why = _attempt(batch, model)
    if why is None:
        limit.worked = True
        yield rows, batch, result
        return
    _make_room()
    if len(batch) == 1:
        refuse(rows[0], why)
        return
    limit.halve(len(batch))
    middle = len(batch) // 2
    for half in (slice(None, middle), slice(middle, None)):
        yield from _halving(rows[half], batch[half], limit, model, refuse)


def _attempt(batch: list[Any], model: Callable[[list[Any]], Any]) -> tuple[Any, str | None]:
    """(the model's answer, None), or why memory ran out; then nothing holds what did not fit."""
    try:
        return model(batch), None
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        first = (str(error).strip().splitlines() or ["it was not said for how much"])[0]
        return None, f"out of memory with nothing else at hand: {first[:200]}"


def _out_of_memory(error: BaseException) -> bool:
    # torch's own class on GPUs; on the CPU its allocator raises a plain RuntimeError
    named = type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError)
    return named or "can't allocate memory" in str(error)


def _make_room() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Vectors:
    """Embeddings and norms as they come in, row by row; rows not set stay null."""

    def __init__(self, count: int, width: int):
        self._values = np.full((count, width), np.nan, np.float32)
        self._norms = np.full(count, np.nan, np.float32)

    def put(self, rows: int | np.ndarray, embedding: np.ndarray, norm: np.ndarray) -> None:
        """Sets one row, or several to the same: float32 [d] and its norm."""
        self._values[rows], self._norms[rows] = embedding, norm

    def columns(
        self, errors: list[str | None] | np.ndarray, expected: np.ndarray | None = None
    ) -> dict[str, pa.Array]:
        """The columns embedding, norm, error; a vector that is not finite is a failed row.

        `expected` (bool [n]) marks the rows that should have a vector; default: all.
        """
        valid = np.isfinite(self._values).all(1) & np.isfinite(self._norms)
        due = np.ones(len(valid), bool) if expected is None else expected
        errors = [
            NOT_FINITE if why is None and want and not good else why
            for why, want, good in zip(errors, due.tolist(), valid.tolist(), strict=True)
        ]
        self._values[~valid] = 0.0
        return {
            "embedding": tables.vectors(self._values, valid),
            "norm": pa.array(self._norms, pa.float32(), mask=~valid),
            "error": pa.array(errors, pa.string()),
        }
