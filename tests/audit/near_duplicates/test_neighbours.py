import numpy as np
import pytest

from pipeline.audit.near_duplicates import neighbours
from pipeline.audit.near_duplicates.neighbours import TooMany, exact, indexed, moved


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


class Vectors:
    """As Embeddings gives them: in blocks of a part, and by row."""

    def __init__(self, x, part=97):
        self.x, self.part = x, part

    def __len__(self):
        return len(self.x)

    def blocks(self):
        for start in range(0, len(self.x), self.part):
            yield start, self.x[start : start + self.part]

    def take(self, rows):
        assert (np.diff(rows) > 0).all()
        return self.x[rows]


def pairs(found):
    return set(zip(found.one.tolist(), found.other.tolist(), strict=True))


def test_exact_pairs_by_hand():
    angles = np.radians([0, 10, 90, 95, 10])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = exact(x, np.cos(np.radians(7)))
    assert pairs(found) == {(1, 4), (2, 3)}
    assert sorted(found.cosine.tolist()) == pytest.approx([np.cos(np.radians(5)), 1.0])
    assert pairs(exact(x, 1.1)) == set()


def test_blocks_lose_no_pair_and_count_none_twice(monkeypatch):
    monkeypatch.setattr(neighbours, "_ROWS", 7)
    monkeypatch.setattr(neighbours, "_COLUMNS", 11)
    x = unit(np.random.default_rng(0).standard_normal((100, 3)))
    cosines = x @ x.T
    expected = {(i, j) for i in range(100) for j in range(i + 1, 100) if cosines[i, j] >= 0.97}
    found = exact(x, 0.97)
    assert len(found.one) == len(expected) > 20
    assert pairs(found) == expected


def test_more_pairs_than_anybody_could_look_at(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST", 40)
    with pytest.raises(TooMany):
        exact(np.ones((10, 1), np.float32), 0.9)
    exact(np.ones((9, 1), np.float32), 0.9)


def test_moved_vectors_have_the_cosine_that_is_asked_for():
    rng = np.random.default_rng(0)
    x, others = (unit(rng.standard_normal((50, 20))) for _ in "12")
    found = moved(x, others, 0.95)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(50), abs=1e-6)
    assert (found * x).sum(1) == pytest.approx(np.full(50, 0.95), abs=1e-6)
    assert ((found * others).sum(1) > (x * others).sum(1)).all()


def like_clip(count, width, rng):
    """In a narrow cone, few directions having most of the variance, in clusters."""
    spread = 1 / np.sqrt(1 + np.arange(width) / 5)
    centres = rng.standard_normal((40, width)) * spread
    x = rng.standard_normal((count, width)) * spread + centres[rng.integers(40, size=count)]
    return unit(x + 3 * rng.standard_normal(width))


@pytest.fixture
def faiss():
    return pytest.importorskip("faiss")


@pytest.mark.parametrize("width", [96, 24])  # above and below the index's components
def test_the_index_finds_what_is_planted(faiss, width):
    """In whatever direction a copy lies; and nothing that is not as alike as that."""
    rng = np.random.default_rng(width)
    x = like_clip(6000, width, rng)
    rows = rng.permutation(6000)
    original, copy = rows[:500], rows[500:1000]
    away = np.concatenate([rng.standard_normal((250, width)), x[rows[1000:1250]]])
    x[copy] = moved(x[original], unit(away), 0.991)
    said = []
    found = indexed(Vectors(x), 0.99, said.append)
    planted = {tuple(sorted(pair)) for pair in zip(original.tolist(), copy.tolist(), strict=True)}
    assert len(planted & pairs(found)) >= 0.99 * len(planted)
    assert pairs(found) <= pairs(exact(x, 0.99 - 1e-6))
    assert (found.one < found.other).all()
    assert found.cosine.min() >= 0.99
    assert found.how.endswith("of 1,000 planted pairs")
    assert any("cells" in line for line in said)


def test_the_index_stops_at_too_many(faiss, monkeypatch):
    monkeypatch.setattr(neighbours, "MOST", 1000)
    x = np.tile(unit(np.random.default_rng(0).standard_normal((30, 8))), (20, 1))
    with pytest.raises(TooMany):
        indexed(Vectors(x), 0.99, lambda line: None)


def test_many_candidates_are_checked_some_at_a_time(faiss, monkeypatch):
    monkeypatch.setattr(neighbours, "_VERIFIED", 10)
    monkeypatch.setattr(neighbours, "_QUERIES", 3)
    rng = np.random.default_rng(1)
    x = like_clip(400, 16, rng)
    x[200:] = moved(x[:200], unit(rng.standard_normal((200, 16))), 0.995)
    assert pairs(indexed(Vectors(x), 0.99, lambda line: None)) == pairs(exact(x, 0.99))


def test_few_are_compared_exactly_and_many_by_the_index(monkeypatch):
    asked = []
    monkeypatch.setattr(neighbours, "EXACT", 50)
    monkeypatch.setattr(neighbours, "indexed", lambda *given: asked.append(given))
    x = unit(np.random.default_rng(0).standard_normal((51, 8)))
    assert neighbours.alike(Vectors(x[:50]), 0.99, print).how.startswith("every image")
    neighbours.alike(Vectors(x), 0.99, print)
    assert len(asked) == 1
