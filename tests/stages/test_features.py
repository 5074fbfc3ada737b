import numpy as np
import pytest

from pipeline import tables
from pipeline.stages import misalign
from pipeline.stages.features import FeaturesParameters, run


def _unit(x, y):
    return [x / (x * x + y * y) ** 0.5, y / (x * x + y * y) ** 0.5]


@pytest.fixture
def inputs(embedded):
    """`two` objects, `none`, a `half` failed one, an `all` failed one, a `dark` image."""
    ids = ["two", "none", "half", "all", "dark"]
    objects = [("two", 0), ("two", 1), ("none", None), ("half", 0), ("half", 1), ("all", 0)]
    objects.append(("dark", None))
    failed = {("half", 0): "no region: gone", ("all", 0): "embedding is not finite"}
    failed["dark", None] = "no caption: too dark"
    return {
        "captions": tables.build(
            "captions",
            {
                "image_id": ids,
                "caption": ["c", "c", "c", "c", None],
                "error": [None] * 4 + ["too dark"],
            },
        ),
        "objects": tables.build(
            "objects",
            {
                "image_id": [i for i, _ in objects],
                "object_no": [n for _, n in objects],
                "phrase": [None if n is None else f"p{n}" for _, n in objects],
                "error": [failed.get(key) if key[1] is None else None for key in objects],
            },
        ),
        "image_embeddings": embedded(
            "image_embeddings", [{"image_id": i, "embedding": [1, 0]} for i in ids], 2
        ),
        "text_embeddings": embedded(
            "text_embeddings",
            [
                {"text": "c", "embedding": _unit(3, 4)},
                {"text": "p0", "embedding": [1, 0]},
                {"text": "p1", "embedding": [-1, 0]},
            ],
            2,
        ),
        "object_embeddings": embedded(
            "object_embeddings",
            [
                {
                    "image_id": i,
                    "object_no": n,
                    "embedding": None if n is None or (i, n) in failed else [0, 1],
                    "error": failed.get((i, n)),
                }
                for i, n in objects
            ],
            2,
        ),
    }


@pytest.fixture
def features(inputs):
    measured = misalign.run(inputs, misalign.MisalignParameters(), ())
    table = run({**inputs, "misalignment": measured}, FeaturesParameters(), ())
    tables.check("features", table)
    return {row["image_id"]: row for row in table.to_pylist()}


def test_rows_stay_in_the_order_of_the_images(features):
    assert list(features) == ["two", "none", "half", "all", "dark"]


def test_global_and_local_d_by_hand(features):
    two = features["two"]
    # v = (1, 0), t = (0.6, 0.8); objects (0, 1) - (1, 0) and (0, 1) - (-1, 0), their mean (0, 1)
    np.testing.assert_allclose(two["global"], [0.4, -0.8], atol=1e-3)
    np.testing.assert_allclose(two["local"], [0, 1], atol=1e-3)
    assert two["num_objects"] == 2
    assert two["cosine_global"] == pytest.approx(0.6, abs=1e-3)
    assert two["distance_global"] == pytest.approx(0.8**0.5, abs=1e-3)
    assert two["cosine_local"] == pytest.approx(0, abs=1e-6)
    assert two["distance_local"] == pytest.approx(2**0.5, abs=1e-6)  # mean of lengths, not |mean|
    assert two["error"] is None


def test_a_caption_without_objects_is_no_failure(features):
    none = features["none"]
    np.testing.assert_allclose(none["global"], [0.4, -0.8], atol=1e-3)
    assert none["local"] is None
    assert none["num_objects"] == 0
    assert none["cosine_local"] is none["distance_local"] is none["error"] is None


def test_the_mean_is_over_the_objects_that_could_be_measured(features):
    half = features["half"]
    np.testing.assert_allclose(half["local"], [1, 1], atol=1e-3)
    assert half["num_objects"] == 1
    assert half["distance_local"] == pytest.approx(2**0.5)
    assert half["error"] is None


def test_an_image_whose_objects_all_failed_is_not_taken_for_one_without_objects(features):
    row = features["all"]
    assert row["error"] == "no object embedding: embedding is not finite"
    assert {name for name, value in row.items() if value is not None} == {"image_id", "error"}


def test_a_failed_image_is_a_row_of_nulls_with_the_reason(features):
    row = features["dark"]
    assert row["error"] == "no caption: too dark"
    assert {name for name, value in row.items() if value is not None} == {"image_id", "error"}


def test_the_length_of_d_is_the_distance(features):
    row = features["two"]
    assert np.linalg.norm(row["global"]) == pytest.approx(row["distance_global"], abs=1e-3)
