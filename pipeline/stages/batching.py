"""The loop that every image stage shares: items in, batches through a model, rows out."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline import tables

Item = tuple[int, Image.Image | None, str | None]  # row, image, or why there is none
Result = TypeVar("Result")

NOT_FINITE = "embedding is not finite"
_MAX_PIXELS = 32_000_000  # of the decoded images in one batch: 96 MB


def infer(
    items: Iterable[Item],
    size: int,
    model: Callable[[list[Image.Image]], Iterable[Result]],
    errors: list[str | None] | np.ndarray,
) -> Iterator[tuple[int, Result]]:
    """(row, result) for each item that has an image, in order, `size` images at a time.

    `model` takes images and gives one result for each. The reason why an item has no image goes
    into `errors` at its row. A batch of large photographs is cut short, so that memory does not
    grow with the images' size; at least one image goes into each.
    """
    rows: list[int] = []
    images: list[Image.Image] = []
    pixels = 0
    for row, image, error in items:
        if image is None:
            errors[row] = error or "the image could not be read"
            continue
        here = image.width * image.height
        if images and pixels + here > _MAX_PIXELS:
            yield from zip(rows, model(images), strict=True)
            rows, images, pixels = [], [], 0
        rows.append(row)
        images.append(image)
        pixels += here
        if len(images) == size:
            yield from zip(rows, model(images), strict=True)
            rows, images, pixels = [], [], 0
    if images:
        yield from zip(rows, model(images), strict=True)


def chunks(values: list[Any], size: int) -> Iterator[list[Any]]:
    """Consecutive slices of at most `size` values."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


class Vectors:
    """Embeddings and norms as they come in, row by row; rows not set stay null."""

    def __init__(self, count: int, width: int):
        self._values = np.full((count, width), np.nan, np.float32)
        self._norms = np.full(count, np.nan, np.float32)

    def put(self, row: int, embedding: np.ndarray, norm: np.ndarray) -> None:
        """Sets one row: float32 [d] and its norm."""
        self._values[row], self._norms[row] = embedding, norm

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
