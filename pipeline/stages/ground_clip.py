"""Locating by CLIP alone: its dense features (`patches`), or crops of many sizes (`windows`)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipeline.corpus.decode import decode
from pipeline.models import grounder, windows
from pipeline.models.clip import Clip, unit, unit_rows
from pipeline.stages.batching import Item, Size, infer
from pipeline.stages.per_image import PerImage

# (object rows int64 [k], boxes float32 [k, 4], scores float32 [k]) of one image
Located = tuple[np.ndarray, np.ndarray, np.ndarray]
Texts = pa.ChunkedArray


def by_patches(
    groups: PerImage,
    texts: Texts,
    clip: Clip,
    threshold: float,
    size: Size,
    threads: int | None,
    errors: np.ndarray,
) -> Iterator[Located]:
    """Image by image; one forward pass for each, however many objects.

    `texts` [n] has what is looked up for each object row; failures go into `errors` [n].
    """
    phrases, phrase_of = _phrases(clip, texts, size)

    def prepare(_: int, image: Image.Image) -> tuple[Any, tuple[float, float, float, float]]:
        return clip.prepare(image), clip.visible(image.size)

    def model(batch: list[tuple[Any, Any]]) -> tuple[Any, tuple[int, int], list[Any]]:
        return *clip.encode_patches([pixels for pixels, _ in batch]), [part for _, part in batch]

    def finish(encoded: tuple[Any, tuple[int, int], list[Any]]) -> Iterator[Any]:
        features, grid, visible = encoded
        return ((dense, grid, part) for dense, part in zip(unit(features)[0], visible, strict=True))

    unread: list[str | None] = [None] * len(groups.images)
    decoded = decode(groups.images, threads, prepare)
    for image, (dense, grid, visible) in infer(decoded, size, clip, model, unread, finish):
        rows = groups.rows[image]
        boxes, scores = grounder.patches(dense, grid, phrases[phrase_of[rows]], threshold)
        yield rows, grounder.to_image(boxes, visible), scores
    groups.spread(unread, errors)


def by_windows(
    groups: PerImage,
    texts: Texts,
    clip: Clip,
    layout: tuple[Sequence[float], float],
    size: Size,
    threads: int | None,
    errors: np.ndarray,
) -> Iterator[Located]:
    """Image by image; each window is embedded once, however many objects.

    Windows of many images share a batch. `layout` is (scales, overlap) of
    `pipeline.models.windows.layout`; `texts` and `errors` as of `by_patches`.
    """
    phrases, phrase_of = _phrases(clip, texts, size)
    pending: dict[int, tuple[tuple[int, int], np.ndarray]] = {}  # size and windows of an image

    def prepare(_: int, image: Image.Image) -> tuple[tuple[int, int], np.ndarray, list[Any]]:
        places = windows.layout(image.size, *layout)
        crops = [clip.prepare(image.crop(place)) for place in places.tolist()]
        return image.size, places, crops

    def crops() -> Iterator[Item]:
        for image, found, error in decode(groups.images, threads, prepare):
            if found is None:
                yield image, None, error
            else:
                shape, places, parts = found
                pending[image] = shape, places
                yield from ((image, part, None) for part in parts)

    unread: list[str | None] = [None] * len(groups.images)
    embeddings: list[np.ndarray] = []
    for image, (embedding, _) in infer(crops(), size, clip, clip.encode_images, unread, unit_rows):
        embeddings.append(embedding)
        shape, places = pending[image]
        if len(embeddings) == len(places):  # the last of this image; they come in order
            rows = groups.rows[image]
            found = windows.best(places, shape, np.stack(embeddings), phrases[phrase_of[rows]])
            yield rows, *found
            del pending[image]
            embeddings.clear()
    groups.spread(unread, errors)


def _phrases(clip: Clip, texts: Texts, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 [m, d] of the different texts, and which of them each row [n] has."""
    coded = texts.combine_chunks().dictionary_encode()
    different = coded.dictionary.to_pylist()
    vectors = np.zeros((len(different), clip.width), np.float32)
    items = ((row, text, None) for row, text in enumerate(different))

    def encode(batch: list[str]) -> Any:
        return clip.encode_texts(batch)[0]

    for row, (embedding, _) in infer(items, size, clip, encode, [], unit_rows):
        vectors[row] = embedding
    return vectors, pc.fill_null(coded.indices, -1).to_numpy()
