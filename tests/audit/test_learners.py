import numpy as np
import pytest

from pipeline.audit.learners import by_boosting, by_category, by_tree, codes, counted, telling


def test_a_category_is_as_fake_as_its_images_and_some_of_all():
    x = np.array(["a"] * 10 + ["b"] * 30, object)
    label = np.array([1] * 10 + [0] * 30)
    scores = by_category(x, label, np.array(["a", "b", "none met", None], object))
    share = 10 / 40
    expected = [(10 + 10 * share) / 20, (0 + 10 * share) / 40, share, share]
    assert scores == pytest.approx(expected)


def test_a_tree_sees_an_exact_value_in_the_middle():
    rng = np.random.default_rng(0)
    width = rng.integers(400, 640, 1000)
    label = (rng.random(1000) < 0.5).astype(int)
    width[label == 1] = 512
    scores = by_tree(width[:, None], label, np.array([[511], [512], [513]]))
    assert scores[1] > 0.95
    assert max(scores[0], scores[2]) < 0.05


def test_boosting_sees_what_only_two_facts_together_tell():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.random(800) < 0.5, rng.random(800) < 0.5]).astype(float)
    label = (x[:, 0] != x[:, 1]).astype(int)
    learn = by_boosting((False, True))
    scores = learn(x[:600], label[:600], x[600:])
    assert ((scores > 0) == label[600:]).all()


def test_boosting_takes_what_is_not_known():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(400) < 0.5, np.nan, 1.0)[:, None]
    label = np.isnan(x[:, 0]).astype(int)
    scores = by_boosting((True,))(x[:300], label[:300], x[300:])
    assert ((scores > 0) == label[300:]).all()


def test_codes_are_by_frequency_and_rare_ones_are_one(monkeypatch):
    monkeypatch.setattr("pipeline.audit.learners._CATEGORIES", 2)
    x = np.array(["x", "y", "y", "z", "w", None, "y", "x"], object)
    found = codes(x)
    assert found[[1, 2, 6]].tolist() == [0] * 3
    assert found[[0, 7]].tolist() == [1] * 2
    assert found[[3, 4]].tolist() == [2] * 2
    assert np.isnan(found[5])


def test_tokens_are_counted_once_a_text_and_the_telling_ones_named():
    texts = ["a red ball", "a red red cube", "a red star"] * 5 + ["a blue ball", "a blue cube"] * 5
    label = np.array([1] * 15 + [0] * 10)
    x, names = counted(texts, str.split)
    assert x.max() == 1
    assert set(names) == {"a", "red", "blue", "ball", "cube", "star"}
    speak = telling(x, label, names, most=1)
    assert speak == {"real": ["blue"], "fake": ["red"]}


def test_texts_without_anything_in_common_are_no_words():
    assert counted(["a", "b", "c"], str.split)[0] is None
