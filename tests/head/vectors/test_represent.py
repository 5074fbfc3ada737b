import numpy as np
import pytest

from pipeline.head.vectors.represent import misalignment, pool, represent
from pipeline.head.vectors.unit_pairs import Pairs

V = np.array([[1.0, 0], [0.6, 0.8]], np.float32)
T = np.array([[0.0, 1], [0.6, 0.8]], np.float32)
PAIRS = Pairs(
    np.array([0, 1]), V, T, np.array([[2], [3]], np.float32), np.array([[4], [5]], np.float32)
)


def test_representations_by_hand():
    expected = {
        "unit_difference": [[1, -1], [0, 0]],
        "raw_difference": [[2, -4], [-1.2, -1.6]],  # 3 (.6, .8) - 5 (.6, .8)
        "hadamard": [[0, 0], [0.36, 0.64]],
        "concat": [[1, 0, 0, 1], [0.6, 0.8, 0.6, 0.8]],
        "cosine": [[0], [1]],
    }
    for name, rows in expected.items():
        found = represent(PAIRS, name)
        assert found.dtype == np.float32
        assert found == pytest.approx(np.array(rows, float), abs=1e-6)
    with pytest.raises(ValueError, match="unknown representation: difference"):
        represent(PAIRS, "difference")


def test_the_lengths_are_figure_threes():
    """|D| = sqrt(2 - 2 cos); the raw difference can be long where the cosine is 1."""
    cosine = represent(PAIRS, "cosine")[:, 0]
    for name in ("unit_difference", "hadamard", "concat", "cosine"):
        assert misalignment(PAIRS, name) == pytest.approx(np.sqrt(2 - 2 * cosine), abs=1e-6)
    assert misalignment(PAIRS, "raw_difference") == pytest.approx([np.sqrt(20), 2])


# image 0: three objects, image 1: none, image 2: one, image 3: two alike
POSITION = np.array([0, 0, 0, 2, 3, 3])
VALUES = np.array([[1.0], [10], [100], [7], [3], [5]], np.float32)
LENGTH = np.array([1.0, 1.2, 1.1, 0.4, 0.9, 0.9], np.float32)


def pooled(name, k=2):
    out = pool(VALUES, POSITION, LENGTH, 4, name, k)
    assert out.shape == (4, 1)
    assert out.dtype == np.float32
    return out[:, 0].tolist()


def test_poolings_by_hand():
    assert pooled("mean") == pytest.approx([37, 0, 7, 4])
    assert pooled("max_norm") == [10, 0, 7, 3]  # of equal ones the caption's first
    assert pooled("top_k") == [55, 0, 7, 4]
    assert pooled("top_k", 1) == pooled("max_norm")
    assert pooled("top_k", 9) == pooled("mean")
    weights = np.exp([-2, 0, -1])  # lengths below the longest, over 0.1
    weights /= weights.sum()
    assert pooled("attention") == pytest.approx([weights @ [1, 10, 100], 0, 7, 4], rel=1e-5)
    with pytest.raises(ValueError, match="unknown pooling: max"):
        pooled("max")


def test_attention_lies_between_mean_and_the_worst():
    assert pooled("attention")[2:] == pooled("mean")[2:]
    far = pool(VALUES, POSITION, 50 * LENGTH, 4, "attention")
    assert far[:, 0] == pytest.approx([10, 0, 7, 4], abs=1e-2)


def test_without_any_object_all_is_zero():
    for name in ("mean", "max_norm", "top_k", "attention"):
        out = pool(np.zeros((0, 3), np.float32), POSITION[:0], LENGTH[:0], 2, name)
        assert np.array_equal(out, np.zeros((2, 3)))
