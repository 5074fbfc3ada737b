"""All pairs of images whose embeddings are alike: exact, or above `EXACT` images by an index.

The exact search multiplies blocks with blocks. The index is faiss's inverted file over the first 64
principal components, which bring no two vectors further apart: so whatever it hands over is checked
with the whole vectors, and what it may miss is only what lies in cells that are not looked into.
How many cells are, is decided by planted pairs: copies of a thousand images, moved to the threshold
in the direction in which other images differ, of which it must find `RECALL`.

What else was tried, on 1,000,000 vectors of 768 numbers: `tests/benchmarks/audit.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from pipeline.audit.near_duplicates.embeddings import Embeddings
from pipeline.errors import many

EXACT = 50_000  # images up to which every one is compared with every other
RECALL = 0.995  # of planted pairs that the index must find
MOST = 20_000_000  # pairs that are kept; of more the threshold says nothing
_ROWS, _COLUMNS = 1024, 8192  # of a block of cosines: 32 MiB
_COMPONENTS = 64
_SAMPLE = 20_000  # vectors whose principal components they are
_PLANTED = 1000
_PER_CELL = 40  # vectors that each cell of the index is trained with
_QUERIES = 4096  # at a time
_VERIFIED = 100_000  # vectors in memory when pairs are checked
_SLACK = 1e-4  # of a squared distance: float32 and float16 round


class TooMany(Exception):
    """More pairs than `MOST`."""


@dataclass(frozen=True)
class Found:
    """Pairs of rows, one < other, int64 [p], with their cosines, float32 [p].

    `how` says in words how they were found.
    """

    one: np.ndarray
    other: np.ndarray
    cosine: np.ndarray
    how: str


def has_index() -> bool:
    """Whether the library of the index is installed."""
    return find_spec("faiss") is not None


def alike(vectors: Embeddings, cosine: float, say: Callable[[str], None]) -> Found:
    """Every pair of at least this cosine, or of many images nearly every one; TooMany."""
    if len(vectors) <= EXACT:
        return exact(np.concatenate([block for _, block in vectors.blocks()]), cosine)
    return indexed(vectors, cosine, say)


def exact(x: np.ndarray, cosine: float) -> Found:
    """Of unit vectors, float32 [n, d]."""
    found = list(_exact_pairs(x, cosine))
    return _joined(found, "every image compared with every other one")


def _exact_pairs(x: np.ndarray, cosine: float) -> Iterator[tuple[np.ndarray, ...]]:
    kept = 0
    for top in range(0, len(x), _ROWS):
        for left in range(top, len(x), _COLUMNS):
            block = x[top : top + _ROWS] @ x[left : left + _COLUMNS].T
            one, other = np.nonzero(block >= cosine)
            value = block[one, other]
            one, other = one + top, other + left
            upper = one < other
            kept += int(upper.sum())
            _check(kept)
            yield one[upper], other[upper], value[upper]


def indexed(vectors: Embeddings, cosine: float, say: Callable[[str], None]) -> Found:
    """By the index. Memory: about 600 bytes a vector, and what `_VERIFIED` of them take."""
    import faiss

    count = len(vectors)
    cells = int(np.clip(4 * np.sqrt(count), 16, 16_384))
    say(f"near-duplicates: an index of {count:,} images, {cells:,} cells")
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(count, min(count, _SAMPLE), replace=False))
    sample = vectors.take(rows)
    components = min(_COMPONENTS, sample.shape[1])
    reduce = faiss.PCAMatrix(sample.shape[1], components)
    reduce.train(sample)
    reduced = np.empty((count, components), np.float32)
    for start, block in vectors.blocks():
        reduced[start : start + len(block)] = reduce.apply(block)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(components), components, cells, faiss.METRIC_L2)
    index.cp.min_points_per_centroid = 1  # of few images it is no matter to warn of
    index.train(reduced[rng.choice(count, min(count, _PER_CELL * cells), replace=False)])
    index.add(reduced)
    radius = 2 * (1 - cosine) + _SLACK
    place = rng.permutation(len(rows))[:_PLANTED]
    planted = reduce.apply(moved(sample[place], sample[np.roll(place, 1)], cosine))
    del sample
    recall = _tuned(index, planted, rows[place], radius)
    say(f"near-duplicates: looking into {index.nprobe:,} cells for each image")
    keys = _candidates(index, reduced, radius)
    del reduced, index
    say(f"near-duplicates: {many(len(keys), 'pair')} to check")
    found = list(_checked(vectors, keys // count, keys % count, cosine))
    how = f"by an index that found {recall:.1%} of {len(planted):,} planted pairs"
    return _joined(found, how.replace("%", " %"))


def moved(x: np.ndarray, others: np.ndarray, cosine: float) -> np.ndarray:
    """Unit vectors of this cosine to those of `x`, [m, d], each turned towards another's place."""
    away = others - (others * x).sum(1, keepdims=True) * x
    length = np.linalg.norm(away, axis=1, keepdims=True)
    away = np.where(length > 0, away / np.maximum(length, 1e-12), 0)
    return (cosine * x + np.sqrt(1 - cosine**2) * away).astype(np.float32)


def _tuned(index, planted: np.ndarray, rows: np.ndarray, radius: float) -> float:
    """Lets the index look into as many cells as it takes; returns the recall that this gives."""
    index.nprobe = 4
    while True:
        query, found = _in_reach(index, planted, radius)
        hit = np.zeros(len(rows), bool)
        hit[query[rows[query] == found]] = True
        recall = float(hit.mean())
        if recall >= RECALL or index.nprobe >= index.nlist:
            return recall
        index.nprobe = min(2 * index.nprobe, index.nlist)


def _in_reach(index, queries: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """(query, row) of all that lies within a squared distance."""
    limits, _, rows = index.range_search(queries, radius)
    counts = np.diff(limits.astype(np.int64))
    return np.repeat(np.arange(len(queries)), counts), rows


def _candidates(index, reduced: np.ndarray, radius: float) -> np.ndarray:
    """int64 [c], increasing: one * n + other of each pair that may be alike."""
    count, found, kept = len(reduced), [np.empty(0, np.int64)], 0
    for start in range(0, count, _QUERIES):
        query, row = _in_reach(index, reduced[start : start + _QUERIES], radius)
        query += start
        apart = query != row
        low, high = np.minimum(query, row)[apart], np.maximum(query, row)[apart]
        found.append(np.unique(low * count + high))
        kept += len(found[-1])
        _check(kept // 2)  # each is met from both sides
    return np.unique(np.concatenate(found))


def _checked(
    vectors: Embeddings, one: np.ndarray, other: np.ndarray, cosine: float
) -> Iterator[tuple[np.ndarray, ...]]:
    """Those of the pairs that are alike, by their whole vectors."""
    step = _VERIFIED // 2
    for start in range(0, len(one), step):
        ends = one[start : start + step], other[start : start + step]
        rows = np.unique(np.concatenate(ends))
        x = vectors.take(rows)
        for place in range(0, len(ends[0]), _QUERIES):
            pair = [end[place : place + _QUERIES] for end in ends]
            left, right = (x[np.searchsorted(rows, end)] for end in pair)
            value = np.einsum("ij,ij->i", left, right)
            near = value >= cosine
            yield pair[0][near], pair[1][near], value[near]


def _joined(found: list[tuple[np.ndarray, ...]], how: str) -> Found:
    none = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    return Found(*(np.concatenate(some) for some in zip(none, *found, strict=True)), how)


def _check(count: int) -> None:
    if count > MOST:
        raise TooMany
