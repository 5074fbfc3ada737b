import numpy as np
import pytest
import torch

from pipeline.models.clip import patches as grounder
from pipeline.models.clip.patches import to_image, whole

GRID = (4, 4)


def _unit(*values):
    vector = np.float32(values)
    return vector / np.linalg.norm(vector)


def patches(dense, grid, phrases, threshold):
    """Boxes and scores of all phrases in one image, from features to fractions."""
    asked = np.arange(len(phrases))[None]
    features, vectors = torch.from_numpy(dense)[None], torch.from_numpy(phrases)
    (cosines,) = grounder.cosines(features, vectors, asked).arrays()
    return grounder.patches(cosines[0], grid, threshold)


def _scene():
    """4 x 4 patches: `red` at the top left (three patches), `blue` bottom right, else ground."""
    ground, red, blue = _unit(0, 0, 1), _unit(1, 0, 0.1), _unit(0, 1, 0.2)
    dense = np.tile(ground, (16, 1))
    dense[[0, 1, 4]] = red
    dense[15] = blue
    return dense, _unit(1, 0, 0), _unit(0, 1, 0)


def test_whole_is_the_whole_image():
    boxes, scores = whole(2)
    assert boxes.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]
    assert scores.tolist() == [1, 1]
    assert boxes.dtype == scores.dtype == np.float32


def test_each_phrase_gets_the_box_of_its_patches():
    dense, red, blue = _scene()
    boxes, scores = patches(dense, GRID, np.stack([red, blue]), 0.75)
    assert boxes.tolist() == [[0, 0, 0.5, 0.5], [0.75, 0.75, 1, 1]]
    assert boxes.dtype == scores.dtype == np.float32
    assert scores == pytest.approx([dense[0] @ red, dense[15] @ blue])


def test_a_second_spot_that_is_not_connected_stays_outside():
    dense, red, _ = _scene()
    dense[11] = _unit(0.99, 0, 0.15)  # a weaker red, at the right edge
    assert patches(dense, GRID, red[None], 0.75)[0].tolist() == [[0, 0, 0.5, 0.5]]


def test_the_threshold_says_how_far_a_region_reaches():
    dense, red, _ = _scene()
    dense[2] = _unit(1, 0, 1)  # cosine 0.71 where the best is 0.995 and most have 0
    assert patches(dense, GRID, red[None], 0.75)[0].tolist() == [[0, 0, 0.5, 0.5]]
    assert patches(dense, GRID, red[None], 0.7)[0].tolist() == [[0, 0, 0.75, 0.5]]


def test_another_object_with_the_lowest_cosine_does_not_widen_the_region():
    dense, red, _ = _scene()
    dense[[13, 14, 15]] = _unit(-1, 0, 0)
    assert patches(dense, GRID, red[None], 0.4)[0].tolist() == [[0, 0, 0.5, 0.5]]


def test_an_offset_of_all_cosines_changes_no_box():
    dense, red, blue = _scene()
    cosines = dense @ np.stack([red, blue]).T
    before = grounder.patches(cosines, GRID, 0.75)
    after = grounder.patches(cosines + np.float32([0.5, -0.5]), GRID, 0.75)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_allclose(after[1] - before[1], [0.5, -0.5], atol=1e-6)


def test_a_phrase_that_is_nowhere_still_has_a_region_and_a_low_score():
    dense, red, _ = _scene()
    boxes, scores = patches(dense, GRID, np.stack([red, -_unit(1, 1, 1)]), 0.75)
    x0, y0, x1, y1 = boxes[1]
    assert x1 - x0 >= 0.25
    assert y1 - y0 >= 0.25
    assert scores[1] < 0 < scores[0]


def test_a_flat_map_gives_the_whole_grid():
    dense = np.tile(_unit(1, 0, 0), (16, 1))
    assert patches(dense, GRID, dense[:1], 0.75)[0].tolist() == [[0, 0, 1, 1]]


def test_no_phrases_give_no_boxes():
    boxes, scores = patches(_scene()[0], GRID, np.zeros((0, 3), np.float32), 0.75)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_boxes_are_mapped_back_through_the_crop():
    boxes = np.float32([[0, 0, 0.5, 1], [0.25, 0.5, 1, 1]])
    moved = to_image(boxes, (0.25, 0.0, 0.75, 1.0))
    np.testing.assert_allclose(moved, [[0.25, 0, 0.5, 1], [0.375, 0.5, 0.75, 1]])
    assert moved.dtype == np.float32


def test_padding_is_cut_off():
    moved = to_image(np.float32([[0, 0, 1, 1]]), (0.0, -0.5, 1.0, 1.5))
    assert moved.tolist() == [[0, 0, 1, 1]]


def test_of_patches_that_are_equally_good_the_first_counts_whatever_the_rounding():
    flat = np.full((16, 1), 0.2, np.float32)
    flat[[5, 10], 0] = 0.7, 0.7 + 2e-6
    swapped = flat.copy()
    swapped[[5, 10], 0] = 0.7 + 2e-6, 0.7
    for cosines in (flat, swapped):
        boxes, _ = grounder.patches(cosines, GRID, 0.75)
        assert boxes.tolist() == [[0.25, 0.25, 0.5, 0.5]]
    flat[10] = 0.7001
    assert grounder.patches(flat, GRID, 0.75)[0].tolist() == [[0.5, 0.5, 0.75, 0.75]]


def test_a_cosine_that_is_not_finite_gives_a_box_and_no_score():
    boxes, scores = grounder.patches(np.full((16, 1), np.nan, np.float32), GRID, 0.75)
    assert boxes.shape == (1, 4) and np.isnan(scores[0])


def test_images_that_ask_for_different_phrases_share_a_call():
    dense, red, blue = _scene()
    features = torch.from_numpy(np.stack([dense, dense[::-1].copy()]))
    vectors = torch.from_numpy(np.stack([red, blue]))
    (cosines,) = grounder.cosines(features, vectors, np.array([[0, 1], [1, 0]])).arrays()
    np.testing.assert_allclose(cosines[0], dense @ np.stack([red, blue]).T, atol=1e-6)
    np.testing.assert_allclose(cosines[1], dense[::-1] @ np.stack([blue, red]).T, atol=1e-6)
