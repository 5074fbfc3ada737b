import numpy as np
import pytest

from pipeline import tables
from pipeline.errors import UserError
from pipeline.stages.misalign import MisalignParameters, run


@pytest.fixture
def inputs(embedded):
    """Three images: `a` with two objects, `b` with none, `c` without a caption.

    Image a: v = (1, 0), t = (0.6, 0.8): cosine 0.6, |D| = |(0.4, -0.8)| = sqrt(0.8).
    """
    return {
        "captions": tables.build(
            "captions",
            {
                "image_id": ["a", "b", "c"],
                "caption": ["red and blue", "mist", None],
                "error": [None, None, "too dark"],
            },
        ),
        "objects": tables.build(
            "objects",
            {
                "image_id": ["a", "a", "b", "c"],
                "object_no": [0, 1, None, None],
                "phrase": ["red", "blue", None, None],
                "error": [None, None, None, "no caption: too dark"],
            },
        ),
        "image_embeddings": embedded(
            "image_embeddings",
            [
                {"image_id": "c", "embedding": [1, 0]},  # another order than the captions'
                {"image_id": "b", "embedding": [0, 1]},
                {"image_id": "a", "embedding": [1, 0]},
            ],
            2,
        ),
        "text_embeddings": embedded(
            "text_embeddings",
            [
                {"text": "blue", "embedding": [0, -1]},
                {"text": "red and blue", "embedding": [0.6, 0.8]},
                {"text": "mist", "embedding": [0, 1]},
                {"text": "red", "embedding": [1, 0]},
            ],
            2,
        ),
        "object_embeddings": embedded(
            "object_embeddings",
            [
                {"image_id": "a", "object_no": 0, "embedding": [0, 1]},
                {"image_id": "a", "object_no": 1, "embedding": [0, 1]},
                {"image_id": "b"},
                {"image_id": "c", "error": "no caption: too dark"},
            ],
            2,
        ),
    }


def test_cosine_and_distance_by_hand(inputs):
    table = run(inputs, MisalignParameters(), ())
    tables.check("misalignment", table)
    keys = [(row["image_id"], row["level"], row["object_no"]) for row in table.to_pylist()]
    assert keys == [
        ("a", "global", None),
        ("a", "local", 0),
        ("a", "local", 1),
        ("b", "global", None),
        ("c", "global", None),
        ("c", "local", None),
    ]
    cosines, distances = (table[name].to_pylist() for name in ("cosine", "distance"))
    assert cosines[:4] == pytest.approx([0.6, 0, -1, 1], abs=5e-4)
    assert distances[:4] == pytest.approx([0.8**0.5, 2**0.5, 2, 0], abs=5e-4)
    assert cosines[4:] == distances[4:] == [None, None]
    assert table["error"].to_pylist()[4:] == ["no caption: too dark"] * 2


def test_vectors_are_made_unit_again_after_storage_in_float16(inputs, embedded):
    """Lengths in float16 are off by up to 5e-4; what is measured must not be."""
    rng = np.random.default_rng(0)
    v, t = rng.normal(size=(2, 768)).astype(np.float32)
    v, t = v / np.linalg.norm(v), t / np.linalg.norm(t)
    one = {
        "captions": tables.build("captions", {"image_id": ["a"], "caption": ["x"]}),
        "objects": tables.build("objects", {"image_id": ["a"]}),
        "image_embeddings": embedded(
            "image_embeddings", [{"image_id": "a", "embedding": v.tolist()}], 768
        ),
        "text_embeddings": embedded(
            "text_embeddings", [{"text": "x", "embedding": t.tolist()}], 768
        ),
        "object_embeddings": embedded("object_embeddings", [{"image_id": "a"}], 768),
    }
    row = run(one, MisalignParameters(), ()).to_pylist()[0]
    stored = [a.astype(np.float16).astype(np.float64) for a in (v, t)]
    stored = [a / np.linalg.norm(a) for a in stored]
    assert row["cosine"] == pytest.approx(stored[0] @ stored[1], abs=1e-6)
    assert row["distance"] == pytest.approx(np.linalg.norm(stored[0] - stored[1]), abs=1e-6)
    assert row["distance"] == pytest.approx((2 - 2 * row["cosine"]) ** 0.5, abs=1e-5)


def test_equal_vectors_are_exactly_zero_apart(inputs):
    row = run(inputs, MisalignParameters(), ()).to_pylist()[3]
    assert (row["cosine"], row["distance"]) == (1.0, 0.0)


def test_reasons_are_prefixed_once(inputs, embedded):
    inputs["image_embeddings"] = embedded(
        "image_embeddings",
        [
            {"image_id": "a", "error": "image file is truncated"},
            {"image_id": "b", "embedding": [1, 0]},
            {"image_id": "c", "embedding": [1, 0]},
        ],
        2,
    )
    inputs["object_embeddings"] = embedded(
        "object_embeddings",
        [
            {"image_id": "a", "object_no": 0, "error": "no region: gone"},
            {"image_id": "a", "object_no": 1, "embedding": [0, 1]},
            {"image_id": "b"},
            {"image_id": "c", "error": "no caption: too dark"},
        ],
        2,
    )
    table = run(inputs, MisalignParameters(), ())
    assert table["error"].to_pylist() == [
        "no image embedding: image file is truncated",
        "no region: gone",
        None,
        None,
        "no caption: too dark",
        "no caption: too dark",
    ]


def test_local_rows_name_their_object(inputs):
    table = run(inputs, MisalignParameters(), ())
    objects = inputs["objects"].to_pylist()
    names = {(row["image_id"], row["object_no"]): (row["phrase"], row["head"]) for row in objects}
    for row in table.to_pylist():
        expected = (None, None)
        if row["level"] == "local":
            expected = names[row["image_id"], row["object_no"]]
        assert (row["phrase"], row["head"]) == expected
    assert any(table["phrase"].is_valid().to_pylist())


def test_another_template_than_embed_texts_had_is_the_users_error(inputs):
    with pytest.raises(UserError, match="'a red' has no embedding") as failure:
        run(inputs, MisalignParameters(phrase_template="a {}"), ())
    assert "phrase_template" in failure.value.hint


def test_widths_that_differ_are_the_users_error(inputs, embedded):
    inputs["image_embeddings"] = embedded(
        "image_embeddings", [{"image_id": i, "embedding": [1, 0, 0]} for i in "abc"], 3
    )
    with pytest.raises(UserError, match="different widths"):
        run(inputs, MisalignParameters(), ())


def test_an_image_without_an_embedding_row_is_never_passed_over(inputs):
    inputs["image_embeddings"] = inputs["image_embeddings"].slice(1)
    with pytest.raises(ValueError, match="image_embeddings: 'c' is not among"):
        run(inputs, MisalignParameters(), ())


def test_a_failed_region_costs_no_global_row(inputs, embedded):
    """Also where all that is said of an image's regions is one row, for no object in particular."""
    why = "no region: image is too narrow"
    for lost in (
        [{"image_id": "a", "error": why}],
        [{"image_id": "a", "object_no": number, "error": why} for number in (0, 1)],
    ):
        inputs["object_embeddings"] = embedded(
            "object_embeddings",
            [*lost, {"image_id": "b"}, {"image_id": "c", "error": "no caption: too dark"}],
            2,
        )
        table = run(inputs, MisalignParameters(), ())
        assert table["error"].to_pylist()[:4] == [None, why, why, None]
        assert table["cosine"].to_pylist()[0] == pytest.approx(0.6, abs=5e-4)
        assert table["phrase"].to_pylist()[1:3] == ["red", "blue"]


def test_tables_that_do_not_belong_together_are_still_an_error(inputs, embedded):
    inputs["object_embeddings"] = embedded(
        "object_embeddings", [{"image_id": "a"}, {"image_id": "b"}, {"image_id": "c"}], 2
    )
    with pytest.raises(ValueError, match="'a/0' is not among the 3 rows"):
        run(inputs, MisalignParameters(), ())
