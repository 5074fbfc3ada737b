"""The queries that compare reals and fakes: clean images a, b, c and e of the known store."""

import pytest

from pipeline.errors import UserError
from tests.sql.conftest import A, B, C, E, answer, approx

MEANS = ("kind", "images", "cosine_global", "with_objects", "cosine_local", "worst_cosine")
OF_A = ("real", 1, approx(0.8), 1, approx(0.7), approx(0.5))
OF_B = ("fake", 1, approx(0.4), 1, approx(0.3), approx(0.3))
OF_C = ("fake", 1, approx(0.6), 0, None, None)
OF_E = (None, 1, approx(0.7), 1, approx(0.6), approx(0.6))
OF_B_AND_C = ("fake", 2, approx(0.5), 1, approx(0.3), approx(0.3))


@pytest.mark.parametrize(
    ("name", "columns", "rows"),
    [
        ("by_num_objects", ("num_objects",), [(0, *OF_C), (1, *OF_B), (1, *OF_E), (2, *OF_A)]),
        ("by_caption_length", ("num_tokens",), [(1, *OF_C), (2, *OF_B), (2, *OF_E), (6, *OF_A)]),
        (
            "by_image_size",
            ("width", "height"),
            [(64, 48, *OF_A), (64, 48, *OF_E), (64, 64, *OF_B), (128, 64, *OF_C)],
        ),
        (
            "by_encoding",
            ("format", "jpeg_quality"),
            [("JPEG", 75, *OF_E), ("JPEG", 90, *OF_A), ("PNG", None, *OF_B_AND_C)],
        ),
        ("by_class", ("class_name",), [(None, *OF_A), (None, *OF_B_AND_C), (None, *OF_E)]),
    ],
)
def test_means_by_a_property(connection, name, columns, rows):
    assert answer(connection, name, *columns, *MEANS) == rows
    of_progan = answer(connection, name, *MEANS, given=("generator=progan",))
    assert sorted(of_progan, key=str) == [OF_B, OF_A]
    distances = answer(connection, name, "distance_global", given=("generator=biggan",))
    assert distances == [(approx(0.6**0.5),)]


def test_cosine_histogram(connection):
    columns = ("bin_from", "bin_to", "reals", "fakes", "real_share", "fake_share")
    assert answer(connection, "cosine_histogram", *columns, given=("width=0.25",)) == [
        (0.25, 0.5, 0, 1, 0.0, 0.5),
        (0.5, 0.75, 0, 1, 0.0, 0.5),
        (0.75, 1.0, 1, 0, 1.0, 0.0),
    ]
    assert answer(connection, "cosine_histogram", "fakes", given=("generator=sdxl",)) == []


def test_separability(connection):
    """Image e, listed both as real and as fake, is in none; biggan's other real has no cosine."""
    columns = ("generator", "level", "reals", "fakes", "auroc", "auroc_low", "delta")
    assert answer(connection, "separability", *columns) == [
        ("progan", "global", 1, 1, 1.0, None, 1.0),
        ("sdxl", "global", 1, 1, 1.0, None, 1.0),  # c against the only real there is
        ("progan", "local", 1, 1, 1.0, None, 1.0),
    ]


def test_misaligned_objects(connection):
    columns = ("head", "objects_real", "objects_fake", "misaligned_real", "misaligned_fake")
    columns += ("difference", "threshold")
    cup = ("cup", 1, 1, 0.0, 1.0, 1.0, approx(0.52))  # of 0.5 and 0.9 in reals
    box = ("box", 1, 0, 1.0, None, None, approx(0.52))
    assert answer(connection, "misaligned_objects", *columns) == []
    given = ("at_least=1",)
    assert answer(connection, "misaligned_objects", *columns, given=given) == [cup]
    given = ("at_least=0",)
    assert answer(connection, "misaligned_objects", *columns, given=given) == [cup, box]
    given = ("at_least=1", "share=1")
    assert answer(connection, "misaligned_objects", "threshold", given=given) == [(approx(0.9),)]


def test_caption_confidence(connection):
    columns = ("kind", "images", "num_tokens", "mean_logprob", "mean_logprob_sd")
    columns += ("mean_logprob_p10", "mean_logprob_p90", "correlation")
    sd = approx(0.02**0.5)
    assert answer(connection, "caption_confidence", *columns) == [
        ("real", 1, 6.0, approx(-0.1), None, approx(-0.1), approx(-0.1), None),
        ("fake", 2, 1.5, approx(-0.4), sd, approx(-0.48), approx(-0.32), approx(1.0)),
        (None, 1, 2.0, approx(-0.2), None, approx(-0.2), approx(-0.2), None),
    ]
    of_progan = answer(connection, "caption_confidence", "images", given=("generator=progan",))
    assert of_progan == [(1,), (1,)]


def test_repeated_captions(connection):
    columns = ("caption", "images", "reals", "fakes", "generators", "cosine_global")
    assert answer(connection, "repeated_captions", *columns) == []
    given = ("at_least=1", "captions=3")
    assert answer(connection, "repeated_captions", *columns, given=given) == [
        ("a cup", 1, 0, 1, 1, approx(0.4)),
        ("a dog", 1, 0, 0, 1, approx(0.7)),
        ("a red cup on a box", 1, 1, 0, 1, approx(0.8)),
    ]


def test_regions_by_head(connection):
    columns = ("head", "regions", "area", "area_real", "area_fake")
    assert answer(connection, "regions_by_head", *columns) == [
        ("cup", 2, 0.25, 0.25, 0.25),
        ("box", 1, 0.5, 0.5, None),
        ("dog", 1, 0.25, None, None),
    ]
    assert answer(connection, "regions_by_head", "score", "score_real", "score_fake") == [
        (approx(0.6), approx(0.9), approx(0.3)),
        (approx(0.5), approx(0.5), None),
        (approx(0.6), None, None),
    ]


def test_without_objects(connection):
    columns = ("image_id", "uri", "kind", "generator", "caption", "cosine_global")
    row = (C, "biggan/1_fake/c.png", "fake", None, "fog", approx(0.6))
    assert answer(connection, "without_objects", *columns) == [row]
    assert answer(connection, "without_objects", *columns, given=("generator=progan",)) == []
    assert answer(connection, "without_objects", *columns, given=("images=0",)) == []


def test_near_duplicates(connection):
    columns = ("generator_a", "image_a", "image_b", "uri_a", "kind_a", "kind_b", "cosine")
    assert answer(connection, "near_duplicates", *columns) == []
    pairs = [
        ("biggan", C, E, "biggan/1_fake/c.png", "fake", None, 0.0),
        ("progan", A, B, "progan/0_real/a.jpg", "real", "fake", 0.0),
    ]
    name, all_pairs = "near_duplicates", "cosine=0"
    assert answer(connection, name, *columns, given=(all_pairs,)) == pairs
    given = (all_pairs, "generator=progan")
    assert answer(connection, name, *columns, given=given) == pairs[1:]
    assert answer(connection, name, *columns, given=(all_pairs, "pairs=1")) == pairs[:1]
    assert answer(connection, name, *columns, given=(all_pairs, "sample=1")) == []


def test_near_duplicates_across_sides(connection):
    """C is listed by biggan and sdxl (test), E by biggan (test) as both labels, A and B by progan
    (train). Rows n of each part share a unit vector: A and C, B and E."""
    sides = ("generator_a", "generator_b", "split_a", "split_b", "image_a", "image_b", "cosine")
    same = [
        ("progan", "biggan", "train", "test", A, C, 1.0),
        ("progan", "sdxl", "train", "test", A, C, 1.0),
    ]
    for across in ("split", "generator"):
        assert answer(connection, "near_duplicates", *sides, given=(f"across={across}",)) == same
    given = ("across=label", "cosine=0")
    found = answer(connection, "near_duplicates", "image_a", "image_b", "cosine", given=given)
    assert found == [(A, C, 1.0), (A, C, 1.0), (A, B, 0.0)]
    given = ("across=split", "cosine=0")
    found = answer(connection, "near_duplicates", "image_a", "image_b", given=given)
    assert sorted(set(found)) == [(A, C), (A, E), (B, C), (B, E)]
    with pytest.raises(UserError, match="across is generator, split or label"):
        answer(connection, "near_duplicates", "cosine", given=("across=class",))
