"""The loop that every image stage shares: items in, batches through a model, rows out."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline import tables
from pipeline.errors import UserError

# row (or rows that share one image), what the model takes of it, or why there is nothing
Item = tuple[Any, Any, str | None]
Size = Annotated[int, Field(ge=1)] | Literal["auto"]
Result = TypeVar("Result")

NOT_FINITE = "embedding is not finite"
_MAX_PIXELS = 32_000_000  # of the undiminished images in one batch: 96 MB
# where `auto` begins: on a CPU a layer's output must stay in the cache (ViTs of any size are up to
# 17 % slower in batches of 64), a GPU wants all its units busy
_AUTO = {"cpu": 16, "cuda": 256}

_log = logging.getLogger(__name__)
# what a loaded model was found to manage, for as long as it stays loaded
_limits: "WeakKeyDictionary[Any, int]" = WeakKeyDictionary()


def infer(
    items: Iterable[Item],
    size: Size,
    adapter: Any,
    model: Callable[[list[Any]], Any],
    errors: list[str | None] | np.ndarray,
    finish: Callable[[Any], Iterable[Result]] = iter,
) -> Iterator[tuple[Any, Result]]:
    """(row, result) for each item that there is something of, in order, `size` items at a time.

    `model` takes prepared items; `finish` makes one result for each of what it gave, one batch
    later: a device still computes while the next batch is collected. Why an item is not there goes
    into `errors` at its row. A batch of large undiminished images is cut short, so that memory does
    not grow with the images' size.

    When the device runs out of memory, the batch is halved, and `adapter` never gets a larger one
    again. UserError when a single item is too much.
    """
    running: deque[tuple[list[Any], Any]] = deque()
    for rows, batch in _batches(items, _Limit(adapter, size), errors):
        for some, result in _halving(rows, batch, _Limit(adapter, size), model):
            running.append((some, result))
            if len(running) > 1:
                yield from _finished(running, finish)
    while running:
        yield from _finished(running, finish)


def _finished(
    running: deque[tuple[list[Any], Any]], finish: Callable[[Any], Iterable[Result]]
) -> Iterator[tuple[Any, Result]]:
    rows, result = running.popleft()
    yield from zip(rows, finish(result), strict=True)


class _Limit:
    """How many items a batch may have now: `size`, or less once memory has run out."""

    def __init__(self, adapter: Any, size: Size):
        self._adapter = adapter
        kind = getattr(getattr(adapter, "device", None), "type", "cpu")
        self._asked = _AUTO.get(kind, _AUTO["cpu"]) if size == "auto" else size

    def __call__(self) -> int:
        return min(self._asked, _limits.get(self._adapter, self._asked))

    def halve(self, count: int) -> None:
        _limits[self._adapter] = max(1, count // 2)
        _log.warning("out of memory: batches of %d from now on", max(1, count // 2))


def _batches(
    items: Iterable[Item], limit: _Limit, errors: list[str | None] | np.ndarray
) -> Iterator[tuple[list[Any], list[Any]]]:
    rows: list[Any] = []
    batch: list[Any] = []
    pixels = 0
    for row, item, error in items:
        if item is None:
            errors[row] = error or "the image could not be read"
            continue
        here = getattr(item, "width", 0) * getattr(item, "height", 0)
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
    rows: list[Any], batch: list[Any], limit: _Limit, model: Callable[[list[Any]], Any]
) -> Iterator[tuple[list[Any], Any]]:
    """(rows, what the model gave) of the batch, or of its halves where memory runs out."""
    fitted = _attempt(batch, model)
    if fitted is not None:
        yield rows, fitted[0]
        return
    _make_room()
    limit.halve(len(batch))
    middle = len(batch) // 2
    for half in (slice(None, middle), slice(middle, None)):
        yield from _halving(rows[half], batch[half], limit, model)


def _attempt(batch: list[Any], model: Callable[[list[Any]], Any]) -> tuple[Any] | None:
    """The model's answer, or None when memory ran out; by then nothing holds what did not fit."""
    try:
        return (model(batch),)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        if len(batch) > 1:
            return None
        raise UserError(
            "the device runs out of memory with a single item",
            str(error).splitlines()[0][:200],
            "use a smaller model, a lower `precision`, fewer beams, fewer workers on this device, "
            "or another `device`",
        ) from None


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
