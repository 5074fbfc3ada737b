"""Representations of misalignment, and how those of an image's objects become one.

v is what is seen (an image or a region), t what is said (a caption or a phrase), u their unit
vectors, |.| the Euclidean length. The paper prints no formula: `unit_difference` has the property
that its Figure 3 shows, and the others are there to be compared with it.

| representation | of a pair | width |
|---|---|---|
| unit_difference | u_v - u_t: its length is sqrt(2 - 2 cos) | d |
| raw_difference | v - t, lengths as CLIP gave them | d |
| hadamard | u_v * u_t, component by component: they sum to the cosine | d |
| concat | [u_v, u_t] | 2 d |
| cosine | u_v . u_t | 1 |

| pooling | of an image's objects |
|---|---|
| mean | their mean |
| max_norm | the one whose difference is the longest: the worst aligned |
| top_k | the mean of the k such; of all when there are fewer |
| attention | weights softmax(length of the difference / 0.1): between mean and max_norm |

The difference that orders objects is v - t for raw_difference, and u_v - u_t for all others.
Attention is over the objects themselves and has nothing to learn. An image without objects has
zeros for its local part, whatever the representation and the pooling.
"""

import numpy as np

from pipeline.head.vectors.unit_pairs import Pairs

ATTENTION_TEMPERATURE = 0.1


def represent(pairs: Pairs, representation: str) -> np.ndarray:
    """float32 [m, width] of m pairs: see the table above. ValueError for an unknown name."""
    v, t = pairs.visual, pairs.textual
    if representation == "unit_difference":
        return v - t
    if representation == "raw_difference":
        return v * pairs.visual_norm - t * pairs.textual_norm
    if representation == "hadamard":
        return v * t
    if representation == "concat":
        return np.concatenate([v, t], axis=1)
    if representation == "cosine":
        return (v * t).sum(axis=1, keepdims=True)
    raise ValueError(f"unknown representation: {representation}")


def misalignment(pairs: Pairs, representation: str) -> np.ndarray:
    """float32 [m]: the length of each pair's difference, by which pooling orders objects."""
    name = "raw_difference" if representation == "raw_difference" else "unit_difference"
    return np.linalg.norm(represent(pairs, name), axis=1)


def pool(
    values: np.ndarray,
    position: np.ndarray,
    length: np.ndarray,
    count: int,
    pooling: str,
    k: int = 3,
) -> np.ndarray:
    """float32 [count, width]: one row an image of the rows of its objects; zeros without objects.

    `values` float32 [m, width]; `position` int64 [m], ascending: whose row it is; `length` float32
    [m]: how misaligned it is. Of equally misaligned objects the caption's first counts as more.
    """
    weights = _weights(position, length, count, pooling, k)
    pooled = np.zeros((count, values.shape[1]), np.float32)
    if len(position):
        firsts = np.flatnonzero(np.diff(position, prepend=-1))
        pooled[position[firsts]] = np.add.reduceat(values * weights[:, None], firsts)
    return pooled


def _weights(
    position: np.ndarray, length: np.ndarray, count: int, pooling: str, k: int
) -> np.ndarray:
    """float32 [m], which sum to 1 over the objects of an image. ValueError for an unknown name."""
    if pooling == "mean":
        raw = np.ones(len(position))
    elif pooling in ("max_norm", "top_k"):
        order = np.lexsort((-length, position))  # stable: equal ones stay in the caption's order
        firsts = np.searchsorted(position, position)  # of each image's objects
        rank = np.empty(len(position), np.int64)
        rank[order] = np.arange(len(position)) - firsts
        raw = (rank < (1 if pooling == "max_norm" else k)).astype(np.float64)
    elif pooling == "attention":
        longest = np.full(count, -np.inf)
        np.maximum.at(longest, position, length)
        raw = np.exp((length - longest[position]) / ATTENTION_TEMPERATURE)
    else:
        raise ValueError(f"unknown pooling: {pooling}")
    totals = np.bincount(position, raw, count)
    return (raw / totals[position]).astype(np.float32)
