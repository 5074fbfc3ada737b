"""Locating by a zero-shot object detector: all phrases of an image in one pass."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.corpus.decode import decode
from pipeline.models.detector import Detector, Located, Sought
from pipeline.stages.batching import Size, infer
from pipeline.stages.per_image import PerImage


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
    looked up once. Failures go into `errors` [n].
    """
    phrases: list[tuple[str, ...]] = []
    answer_of: list[np.ndarray] = []  # for each row of an image its place among the phrases
    for rows in groups.rows:
        coded = texts.take(pa.array(rows)).combine_chunks().dictionary_encode()
        phrases.append(tuple(coded.dictionary.to_pylist()))
        answer_of.append(coded.indices.to_numpy())

    def prepare(image_row: int, image: Image.Image) -> Sought:
        return Sought(detector.prepare(image), phrases[image_row])

    unread: list[str | None] = [None] * len(groups.images)
    decoded = decode(groups.images, threads, prepare)
    batch = detector.auto if size == "auto" else size
    found = infer(decoded, batch, detector, detector.locate, unread, Located.each)
    for image, (boxes, scores) in found:
        yield groups.rows[image], boxes[answer_of[image]], scores[answer_of[image]]
    groups.spread(unread, errors)
