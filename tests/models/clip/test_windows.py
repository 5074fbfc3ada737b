import numpy as np
import pytest

from pipeline.models.clip.windows import best, layout


def test_squares_of_the_shorter_edge_cover_the_image():
    windows = layout((12, 8), (0.5,), 0.5)
    assert windows.dtype == np.int64
    assert windows[:5].tolist() == [
        [0, 0, 4, 4],
        [2, 0, 6, 4],
        [4, 0, 8, 4],
        [6, 0, 10, 4],
        [8, 0, 12, 4],
    ]
    assert len(windows) == 5 * 3
    assert windows[-1].tolist() == [8, 4, 12, 8]


def test_scales_follow_each_other_in_the_order_given():
    windows = layout((8, 8), (1.0, 0.5), 0.0)
    assert windows.tolist() == [
        [0, 0, 8, 8],
        [0, 0, 4, 4],
        [4, 0, 8, 4],
        [0, 4, 4, 8],
        [4, 4, 8, 8],
    ]


@pytest.mark.parametrize("size", [(640, 480), (333, 500), (97, 101)])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.75])
def test_neighbours_share_at_least_the_overlap(size, overlap):
    windows = layout(size, (0.3,), overlap)
    side = round(0.3 * min(size))
    assert (windows[:, 2:] - windows[:, :2] == side).all()
    for edge in (0, 1):
        starts = np.unique(windows[:, edge])
        assert starts[0] == 0
        assert starts[-1] == size[edge] - side
        assert np.diff(starts).max() <= side * (1 - overlap) + 1  # whole pixels


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (2, 2)])
def test_the_smallest_images_have_windows_and_none_twice(size):
    windows = layout(size, (0.25, 0.5, 1.0), 0.5).tolist()
    assert len({tuple(window) for window in windows}) == len(windows) >= 1
    assert all(x1 > x0 and y1 > y0 for x0, y0, x1, y1 in windows)


def test_a_ribbon_does_not_take_a_thousand_windows():
    windows = layout((20000, 10), (0.25,), 0.5)
    assert len(windows) <= 32 * 32
    assert windows[:, 2].max() == 20000


def test_each_phrase_gets_its_best_window():
    windows = np.array([[0, 0, 4, 4], [4, 0, 8, 4], [4, 4, 8, 8]])
    embeddings = np.float32([[1, 0], [0.6, 0.8], [0, 1]])
    phrases = np.float32([[0, 1], [1, 0], [0.8, 0.6]])
    boxes, scores = best(windows, (8, 16), embeddings, phrases)
    assert boxes.tolist() == [[0.5, 0.25, 1, 0.5], [0, 0, 0.5, 0.25], [0.5, 0, 1, 0.25]]
    assert scores == pytest.approx([1, 1, 0.96])
    assert boxes.dtype == scores.dtype == np.float32


def test_the_first_of_equals_wins():
    windows = np.array([[0, 0, 4, 4], [4, 4, 8, 8]])
    boxes, _ = best(windows, (8, 8), np.float32([[1, 0], [1, 0]]), np.float32([[1, 0]]))
    assert boxes.tolist() == [[0, 0, 0.5, 0.5]]


def test_a_window_that_is_not_finite_leaves_no_score():
    windows = np.array([[0, 0, 4, 4], [4, 4, 8, 8]])
    _, scores = best(windows, (8, 8), np.float32([[1, 0], [np.nan, 0]]), np.float32([[1, 0]]))
    assert np.isnan(scores).all()
