import pytest

from pipeline.audit.copies import copies


def judged(connection):
    return {one.check.removeprefix("same bytes: "): one for one in copies(connection)}


def test_a_corpus_without_copies(corpus, opened):
    found = judged(opened(corpus(num=5)))
    assert {name: (one.verdict, one.figure) for name, one in found.items()} == dict.fromkeys(
        ("splits", "labels", "generators"), ("ok", "none")
    )


@pytest.mark.parametrize(("num", "verdict"), [(5, "leak"), (30, "look")])
def test_the_same_bytes_in_two_splits(corpus, opened, num, verdict):
    """One image of 20, or of 120, in the smaller split: 5 %, or 0.8 %."""
    made = corpus(num=num)
    made.repeat(made.listing["split"].index("train"), split="test")
    one = judged(opened(made))["splits"]
    assert one.verdict == verdict
    share = "5.0 %" if num == 5 else "0.8 %"
    assert one.figure == f"1 image in test and train ({share} of the smaller)"
    sizes = {"images": 1, "of": 4 * num, "share": 1 / (4 * num)}
    assert one.details == ({"one": "test", "other": "train", **sizes},)
    assert "duplicates" in one.advice


def test_a_copy_within_a_split_is_none_across(corpus, opened):
    made = corpus(num=5)
    made.repeat(0)
    assert {one.verdict for one in judged(opened(made)).values()} == {"ok"}


def test_the_worst_of_several_splits_is_named(corpus, opened):
    made = corpus(num=5)
    made.listing["split"][:2] = ["val", "val"]
    made.repeat(0, split="test")
    train = made.listing["split"].index("train")
    made.repeat(train, split="test")
    one = judged(opened(made))["splits"]
    assert one.figure.startswith("1 image in test and val (50 % of the smaller); so do 1 other")
    assert [row["images"] for row in one.details] == [1, 1]


def test_one_split_or_none_is_not_judged(corpus, opened):
    made = corpus(num=5)
    made.listing["split"] = [None] * len(made.fake)
    assert judged(opened(made))["splits"].verdict == "not judged"


def test_one_label_and_one_generator_are_not_judged(corpus, opened):
    made = corpus(num=5, generators=("gan",))
    made.listing["label"] = [0] * len(made.fake)
    found = judged(opened(made))
    assert found["labels"].verdict == found["generators"].verdict == "not judged"


def test_two_labels(corpus, opened):
    made = corpus(num=5)
    made.repeat(0, label=1)
    made.repeat(1, label=1)
    one = judged(opened(made))["labels"]
    assert (one.verdict, one.figure) == ("look", "2 images listed as real and as fake")


@pytest.mark.parametrize(
    ("label", "verdict", "figure"),
    [
        (0, "ok", "1 real images stand beside several generators"),
        (1, "look", "1 fake is listed under several generators"),
    ],
)
def test_generators_share_reals_by_right_and_fakes_by_mistake(
    corpus, opened, label, verdict, figure
):
    made = corpus(num=5)
    row = next(row for row, fake in enumerate(made.fake) if fake == label)
    made.repeat(row, generator="vae")
    one = judged(opened(made))["generators"]
    assert (one.verdict, one.figure) == (verdict, figure)


def test_files_that_could_not_be_read_are_no_copies_of_each_other(corpus, opened):
    made = corpus(num=5)
    for row in (0, 1):
        made.listing["image_id"][row] = None
        made.listing["split"][row] = ("train", "test")[row]
    assert {one.verdict for one in judged(opened(made)).values()} == {"ok"}
