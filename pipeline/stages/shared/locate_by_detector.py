"""Locating by a zero-shot object detector: all phrases of an image in one pass."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.corpus.decode import decode
from pipeline.models.detectors.base import Detector, Located, Sought
from pipeline.stages.shared.batching import Item, Limit, Size, infer
from pipeline.stages.shared.objects_by_image import PerImage

_PIXELS_AHEAD = 2**27  # of images that wait as they are, three bytes each


def by_detector(
    groups: PerImage,
    texts: pa.ChunkedArray,
    detector: Detector,
    size: Size,
    threads: int | None,
    errors: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(object rows [k], boxes float32 [k, 4], scores float32 [k]) image by image.

    `texts` [n] has what is looked up for each object row; a text that an image names twice is
    looked up once. Images of one shape follow each other, because some detectors can give them one
    pass. Failures go into `errors` [n].
    """
    order = _by_shape(groups.images)
    rows_of = [groups.rows[place] for place in order.tolist()]
    phrases: list[tuple[str, ...]] = []
    answer_of: list[np.ndarray] = []  # for each row of an image its place among the phrases
    for rows in rows_of:
        asked = [detector.text(text) for text in texts.take(pa.array(rows)).to_pylist()]
        numbers = {text: number for number, text in enumerate(dict.fromkeys(asked))}
        phrases.append(tuple(numbers))
        answer_of.append(np.array([numbers[text] for text in asked]))

    def sought() -> Iterator[Item]:
        ordered = groups.images.take(pa.array(order))
        beside = limit.beside(_PIXELS_AHEAD)
        for row, image, error in decode(ordered, threads, detector.prepare, beside=beside):
            yield row, None if image is None else Sought(image, phrases[row]), error

    unread: list[str | None] = [None] * len(order)
    limit = Limit(detector, size, "images", detector.auto)
    found = infer(sought(), limit, detector.locate, unread, Located.each)
    for image, (boxes, scores) in found:
        yield rows_of[image], boxes[answer_of[image]], scores[answer_of[image]]
    for rows, error in zip(rows_of, unread, strict=True):
        if error is not None:
            errors[rows] = error


def _by_shape(images: pa.Table) -> np.ndarray:
    """The rows of `images`, int64 [n], ordered by aspect ratio, then by width."""
    width, height = (
        np.nan_to_num(images[name].to_numpy().astype(np.float64)) for name in ("width", "height")
    )
    return np.lexsort((width, width / np.maximum(height, 1)))
