import numpy as np
import pytest

from pipeline.audit.balance import balance, failures


def test_labels_are_counted_by_image_and_group(corpus, opened):
    made = corpus(num=6)
    made.repeat(0)
    made.listing["label"][1] = None
    found = balance(opened(made))
    assert found.verdict == "ok"
    assert found.figure == (
        "23 real, 24 fake images in 49 files, 1 of them the bytes of another, 1 without a label"
    )
    first = {"generator": "gan", "split": "test", "reals": 6, "fakes": 6, "unlabelled": 0}
    assert found.details[0] == first
    assert found.details[1] == first | {"split": "train", "reals": 5, "unlabelled": 1}


def test_a_rare_label_is_worth_a_look(corpus, opened):
    made = corpus(num=60)
    drop = (made.fake == 1) & (np.arange(len(made.fake)) % 12 > 0)
    made.where("label", drop, 0)
    found = balance(opened(made))
    assert found.verdict == "look"
    assert found.figure.startswith("460 real, 20 fake")


def test_generators_without_reals_are_named(corpus, opened):
    made = corpus(num=10)
    made.where("generator", made.of("vae") & (made.fake == 0), "photos")
    assert balance(opened(made)).seen == "without real images of their own: vae"


def test_a_split_of_one_label_is_worth_a_look(corpus, opened):
    made = corpus(num=12)
    made.listing["split"] = np.where(made.fake == 1, "test", "train").tolist()
    found = balance(opened(made))
    assert (found.verdict, found.seen) == (
        "look",
        "in test only fake images, train only real images",
    )


def test_a_generator_whose_labels_lie_in_two_splits_is_worth_a_look(corpus, opened):
    """vae's reals are there to be trained on, its fakes to be tested: neither has both."""
    made = corpus(num=12)
    vae = made.of("vae")
    made.where("split", vae & (made.fake == 0), "train")
    made.where("split", vae & (made.fake == 1), "val")
    found = balance(opened(made))
    assert (found.verdict, found.seen) == ("look", "in val only fake images")
    made.where("split", made.of("gan") & (np.arange(len(made.fake)) % 3 == 0), "val")
    found = balance(opened(made))
    assert found.seen == "vae: in train only real images, val only fake images"


def test_sets_of_one_label_and_few_images_are_no_split_of_one_label(corpus, opened):
    made = corpus(num=10)
    made.where("generator", made.of("vae") & (made.fake == 0), "photos")
    few = np.flatnonzero(made.of("gan") & (made.fake == 1))[:19]
    made.where("split", np.isin(np.arange(len(made.fake)), few), "val")
    assert balance(opened(made)).verdict == "ok"


@pytest.mark.parametrize(
    ("label", "why", "advice"),
    [
        (None, "no label", "corpus.layout"),
        (0, "too few fake", "corpus.layout"),
        (1, "too few real", "corpus.layout"),
        ("few", "too few real", "20 of each label"),
    ],
)
def test_one_class_or_none_is_not_judged(corpus, opened, label, why, advice):
    made = corpus(num=10)
    count = len(made.fake)
    made.listing["label"] = [0] + [1] * (count - 1) if label == "few" else [label] * count
    connection = opened(made)
    found = balance(connection)
    assert found.verdict == "not judged"
    assert why in found.seen and advice in found.advice
    assert failures(connection).verdict == "not judged"


def _fail(made, rows):
    for row in rows:
        made.listing["error"][row] = "image is damaged"


def test_one_label_that_fails_more_often_is_worth_a_look(corpus, opened):
    """40 reals and no fake of 320 each: Fisher's p is far below 5 %."""
    made = corpus()
    _fail(made, np.flatnonzero(made.fake == 0)[:40])
    found = failures(opened(made))
    assert (found.verdict, found.figure) == ("look", "listing: 12 % of real, 0 % of fake")
    (row,) = found.details
    assert (row["reals_failed"], row["fakes_failed"], row["reals"]) == (40, 0, 320)
    assert row["p"] < 1e-6


def test_failures_by_chance_are_ok(corpus, opened):
    made = corpus()
    _fail(made, np.flatnonzero(made.fake == 0)[:12])
    _fail(made, np.flatnonzero(made.fake == 1)[:9])
    found = failures(opened(made))
    assert (found.verdict, found.figure) == ("ok", "listing: 3.8 % of real, 2.8 % of fake")


def test_failures_of_later_nodes_are_counted_by_image(corpus, opened):
    made = corpus()
    error = [None] * len(made.fake)
    for row in np.flatnonzero(made.fake == 1)[:32]:
        error[row] = "no text"
        made.captions["caption"][row] = None
    made.captions["error"] = error
    found = failures(opened(made))
    assert (found.verdict, found.figure) == ("look", "captions: 0 % of real, 10 % of fake")


def test_an_image_that_is_listed_twice_fails_once(corpus, opened):
    made = corpus()
    _fail(made, [0])
    made.repeat(0)
    (row,) = failures(opened(made)).details
    assert (row["reals_failed"], row["reals"]) == (1, 320)


def test_nothing_failed(corpus, opened):
    assert failures(opened(corpus(num=10))).figure == "nothing failed"
