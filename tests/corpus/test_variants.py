"""The names of variants: one way to write each, presets, order, and which images are chosen."""

import pytest

from pipeline.corpus.variants import (
    PRESETS,
    check_splits,
    chosen,
    content_id,
    expanded,
    order,
    parse,
    tag,
    variant_id,
)

CONTENT = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("clean", []),
        ("jpeg_50", [("jpeg", 50)]),
        ("noise_0.001", [("noise", 0.001)]),
        ("resize_0.5+blur_1.5+jpeg_75", [("resize", 0.5), ("blur", 1.5), ("jpeg", 75)]),
        ("square_128", [("square", 128)]),
    ],
)
def test_a_name_is_a_chain_of_steps(name, steps):
    assert [(step.kind, step.amount) for step in parse(name)] == steps


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("jpg_50", "there is no variant 'jpg_50': did you mean 'jpeg_50'?"),
        ("jpeg", "did you mean 'jpeg_N'?"),
        ("blur_.5", "there is no variant 'blur_.5': did you mean 'blur_N'?"),
        ("blur_-1", "there is no variant"),
        ("resize_0.5+jpg_75", "there is no variant 'jpg_75' in 'resize_0.5+jpg_75'"),
        ("resize_0.5+", "there is no variant ''"),
        ("jpeg_50.0", "'jpeg_50.0' is written jpeg_50"),
        ("noise_0.0010", "is written noise_0.001"),
        ("jpeg_050", "is written jpeg_50"),
        ("jpeg_0", "jpeg takes a whole number from 1 to 100"),
        ("jpeg_101", "jpeg takes a whole number from 1 to 100"),
        ("jpeg_50.5", "jpeg takes a whole number from 1 to 100"),
        ("blur_0", "blur takes a number above 0 to 100"),
        ("noise_1.5", "noise takes a number above 0 to 1"),
        ("resize_5", "resize takes a number from 0.01 to 4"),
        ("crop_1", "crop takes a number from 0.01 to 0.99"),
        ("square_0", "square takes a whole number from 1 to 4096"),
        ("+".join(["blur_1"] * 10), "longer than 60 characters"),
    ],
)
def test_other_names_are_refused_with_the_reason(name, why):
    with pytest.raises(ValueError) as caught:
        parse(name)
    assert why in str(caught.value)


def test_presets_stand_for_their_variants():
    assert expanded("figure4") == PRESETS["figure4"]
    assert len(PRESETS["figure4"]) == 9
    assert expanded(["figure4", "jpeg_90"]) == (*PRESETS["figure4"], "jpeg_90")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("figur4", "there is no variant or preset 'figur4': did you mean 'figure4'?"),
        (["clean"], "'clean' is there always"),
        (["jpeg_50", "jpeg_50"], "names jpeg_50 twice"),
        (["figure4", "blur_2"], "names blur_2 twice"),
    ],
)
def test_wrong_lists_are_refused(given, why):
    with pytest.raises(ValueError, match=why.replace("?", r"\?")):
        expanded(given)


def test_splits_are_known_and_do_not_repeat_what_all_has():
    check_splits({"test": ["jpeg_50"], "val": ["jpeg_50"], "all": ["blur_1"]})
    with pytest.raises(ValueError, match="no split 'tset': did you mean 'test'"):
        check_splits({"tset": ["jpeg_50"]})
    with pytest.raises(ValueError, match="blur_1 of 'test' is in 'all' already"):
        check_splits({"all": ["blur_1"], "test": ["blur_1", "blur_2"]})


def test_tables_show_clean_first_then_kinds_the_mildest_first():
    shown = ["clean", "noise_0.001", "noise_0.01", "blur_1", "jpeg_75", "jpeg_25", "resize_0.5"]
    assert order([*reversed(shown), "clean"]) == shown
    assert order(["jpeg_50+blur_1", "jpeg_50"]) == ["jpeg_50", "jpeg_50+blur_1"]


def test_ids_and_tags():
    assert variant_id(CONTENT, "clean") == CONTENT
    assert variant_id(CONTENT, "jpeg_50") == f"{CONTENT}-jpeg_50"
    assert content_id(f"{CONTENT}-jpeg_50") == content_id(CONTENT) == CONTENT
    assert (tag("clean"), tag("jpeg_50")) == ("", "jpeg_50.v1")
    assert tag("resize_0.5+jpeg_75") == "resize_0.5+jpeg_75.v1"


def test_a_smaller_share_is_a_part_of_a_larger_one():
    ids = [f"{number:032x}" for number in range(2000)]
    tenth, third, every = (set(chosen(ids, share)) for share in (0.1, 0.3, 1.0))
    assert tenth < third < every == set(ids)
    assert abs(len(tenth) - 200) < 60 and abs(len(third) - 600) < 90
