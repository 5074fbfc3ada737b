"""Locating by CLIP alone: its dense features (`patches`), or crops of many sizes (`windows`)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipeline.corpus.decode import decode
from pipeline.models.clip import patches, windows
from pipeline.models.clip.clip import Clip, unit
from pipeline.models.transfer import Home, to_device
from pipeline.stages.embed_images import units
from pipeline.stages.shared.batching import Item, Limit, Size, infer
from pipeline.stages.shared.objects_by_image import PerImage

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
    vectors, phrase_of = _phrases(clip, texts, size)
    phrases = to_device([vectors], clip.device)[0]

    def items() -> Iterator[Item]:
        sized = _Sized(clip.prepare)
        for image, found, error in decode(groups.images, threads, sized, beside=limit.beside()):
            asked = phrase_of[groups.rows[image]]
            yield image, None if found is None else (*found, asked), error

    def model(batch: list[tuple[Any, tuple[int, int], np.ndarray]]) -> _Encoded:
        pixels, sizes, asked = zip(*batch, strict=True)
        features, grid = clip.encode_patches(pixels)
        return patches.cosines(features, phrases, _padded(asked)), grid, sizes, asked

    def finish(encoded: _Encoded) -> Iterator[Any]:
        home, grid, sizes, asked = encoded
        for cosines, shape, some in zip(home.arrays()[0], sizes, asked, strict=True):
            yield cosines[:, : len(some)], grid, shape

    unread: list[str | None] = [None] * len(groups.images)
    limit = Limit(clip, size, "patches")
    for image, (cosines, grid, shape) in infer(items(), limit, model, unread, finish):
        boxes, scores = patches.patches(cosines, grid, threshold)
        yield groups.rows[image], patches.to_image(boxes, clip.visible(shape)), scores
    groups.spread(unread, errors)


# cosines on their way, the grid, and of each image its size and the phrases that it asks for
_Encoded = tuple[Home, tuple[int, int], Sequence[tuple[int, int]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class _Sized:
    """Prepares an image, and keeps its size (width, height)."""

    prepare: Callable[[Image.Image], Any]

    def __call__(self, image: Image.Image) -> tuple[Any, tuple[int, int]]:
        return self.prepare(image), image.size


def _padded(asked: Sequence[np.ndarray]) -> np.ndarray:
    """Phrase numbers of n images as int64 [n, k]; where an image has fewer, phrase 0 again."""
    out = np.zeros((len(asked), max(map(len, asked))), np.int64)
    for row, some in enumerate(asked):
        out[row, : len(some)] = some
    return out


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
    `pipeline.models.clip.windows.layout`; `texts` and `errors` as of `by_patches`.
    """
    phrases, phrase_of = _phrases(clip, texts, size)
    pending: dict[int, tuple[tuple[int, int], np.ndarray]] = {}  # size and windows of an image

    def crops() -> Iterator[Item]:
        """(image, prepared window, why there is none) of each image's windows."""
        prepare, beside = _Windows(clip.prepare, layout), limit.beside()
        for image, found, error in decode(groups.images, threads, prepare, beside=beside):
            if found is None:
                yield image, None, error
            else:
                shape, places, parts = found
                pending[image] = shape, places
                yield from ((image, part, None) for part in parts)

    unread: list[str | None] = [None] * len(groups.images)
    embeddings: dict[int, list[np.ndarray]] = {}
    limit = Limit(clip, size, "crops")
    for image, (embedding, _) in infer(crops(), limit, partial(units, clip), unread, Home.rows):
        embeddings.setdefault(image, []).append(embedding)
        shape, places = pending[image]
        if len(embeddings[image]) == len(places):  # the last one; never, where one had no memory
            rows, found = groups.rows[image], np.stack(embeddings.pop(image))
            yield rows, *windows.best(places, shape, found, phrases[phrase_of[rows]])
            del pending[image]
    groups.spread(unread, errors)


@dataclass(frozen=True)
class _Windows:
    """Prepares the windows of an image, laid out by scales and overlap."""

    prepare: Callable[[Image.Image], Any]
    layout: tuple[Sequence[float], float]

    def __call__(self, image: Image.Image) -> tuple[tuple[int, int], np.ndarray, list[Any]]:
        """The image's size, its windows int64 [n, 4] in pixels, and each of them prepared."""
        places = windows.layout(image.size, *self.layout)
        crops = [self.prepare(image.crop(place)) for place in places.tolist()]
        return image.size, places, crops


def _phrases(clip: Clip, texts: Texts, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 [m, d] of the different texts, and which of them each row [n] has."""
    coded = texts.combine_chunks().dictionary_encode()
    different = coded.dictionary.to_pylist()
    vectors = np.zeros((len(different), clip.width), np.float32)
    items = ((row, text, None) for row, text in enumerate(different))

    def encode(batch: list[str]) -> Any:
        return unit(clip.encode_texts(batch)[0])

    limit = Limit(clip, size, "texts")
    errors: list[str | None] = [None] * len(different)
    for row, (embedding, _) in infer(items, limit, encode, errors, Home.rows):
        vectors[row] = embedding
    vectors[np.not_equal(np.array(errors, object), None)] = np.nan  # no score is finite then
    return vectors, pc.fill_null(coded.indices, -1).to_numpy()
