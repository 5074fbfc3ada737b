"""Near-duplicates of known pairs: vectors of the made-up corpus that are turned towards others."""

import numpy as np
import pytest

from pipeline.audit.near_duplicates import checks
from pipeline.audit.near_duplicates.checks import near_duplicates
from pipeline.audit.near_duplicates.neighbours import TooMany, moved
from pipeline.dag.experiment import Experiment
from pipeline.query.questions import connect

TRAIN_TEST = {"x": Experiment(train="split = 'train'", test="split = 'test'", allow_overlap=True)}


def judged(connection, experiments=None, cosine=0.99, keep=lambda pairs: None):
    found = near_duplicates(connection, experiments or {}, cosine, lambda line: None, keep)
    return {one.check.removeprefix("near-duplicates: "): one for one in found}


def rows(made, **wanted):
    """The rows of the listing that have these values."""
    masks = [np.array(made.listing[name]) == value for name, value in wanted.items()]
    return np.flatnonzero(np.logical_and.reduce(masks))


def twin(made, one, other, cosine=0.995):
    """The vector of `other` becomes that of `one`, turned to this cosine."""
    x = made.vectors / np.linalg.norm(made.vectors, axis=1, keepdims=True)
    made.vectors[other] = moved(x[[one]], np.roll(x, 1, 0)[[one]], cosine)[0]


def with_features(corpus, folder):
    """A store in which every image has (empty) features, for experiments to select."""
    nodes = corpus.write(folder)
    from pipeline import tables
    from pipeline.store.parts import write_part

    ids = corpus.captions["image_id"]
    zeros = tables.vectors(np.zeros((len(ids), 4)))
    columns = {"image_id": ids, "global": zeros, "local": zeros}
    path = folder / "features.parquet"
    write_part(path, tables.build("features", columns, 4), {})
    return connect(nodes | {"features": ("features", [path])})


def test_a_corpus_without_near_duplicates(corpus, opened):
    found = judged(opened(corpus(num=20)))
    assert {name: one.verdict for name, one in found.items()} == {
        **dict.fromkeys(("splits", "labels", "generators"), "ok"),
        "experiments": "not judged",
    }
    assert found["splits"].figure == "none"
    assert found["splits"].seen == (
        "alike: cosine >= 0.99, every image compared with every other one"
    )


def test_pairs_across_splits_are_counted_by_the_images_of_the_smaller(corpus, opened):
    made = corpus(num=20)  # 80 images in each split
    train = rows(made, split="train", generator="gan", label=0)
    test = rows(made, split="test", generator="gan", label=0)
    twin(made, train[0], test[0])
    twin(made, train[1], test[1], cosine=0.98)  # not alike enough
    made.listing["split"][train[5]] = None  # so training is smaller
    kept = []
    found = judged(opened(made), keep=kept.append)
    one = found["splits"]
    assert one.verdict == "leak"  # 1 of 79
    assert one.figure == "1 pair of test and train: 1 image of train (1.3 %)"
    row, named = one.details
    assert (row["pairs"], row["images"], row["share"]) == (1, 1, 1 / 79)
    (pair,) = named["most_alike"]
    uris = {pair["uri_a"], pair["uri_b"]}
    assert uris == {made.listing["uri"][train[0]], made.listing["uri"][test[0]]}
    assert pair["cosine"] == pytest.approx(0.995, abs=1e-3)  # float16
    assert kept[0].num_rows == 1
    assert kept[0]["split_a"][0].as_py() != kept[0]["split_b"][0].as_py()
    assert {name for name, other in found.items() if other.verdict != "ok"} == {
        "splits",
        "experiments",
    }


@pytest.mark.parametrize(("num", "verdict"), [(20, "leak"), (80, "look"), (300, "ok")])
def test_one_image_of_many_is_ok_of_some_a_look_of_few_a_leak(corpus, opened, num, verdict):
    """One of 80, 320 or 1,200 images of a split."""
    made = corpus(num=num)
    twin(made, rows(made, split="train")[0], rows(made, split="test")[0])
    assert judged(opened(made))["splits"].verdict == verdict


def test_a_real_and_a_fake_that_are_alike_are_a_look(corpus, opened):
    made = corpus(num=20)
    same = {"split": "train", "generator": "gan"}
    twin(made, rows(made, label=0, **same)[0], rows(made, label=1, **same)[0])
    found = judged(opened(made))
    assert found["labels"].verdict == "look"
    assert found["labels"].figure == "1 pair of a real and a fake image (1.2 % of a label)"
    assert found["splits"].verdict == found["generators"].verdict == "ok"


def test_pairs_of_two_generators_stand_beside_those_within_one(corpus, opened):
    made = corpus(num=20)
    same = {"split": "train", "label": 0}
    gan, vae = (rows(made, generator=name, **same) for name in ("gan", "vae"))
    twin(made, gan[0], vae[0])
    twin(made, gan[1], gan[2])
    found = judged(opened(made))["generators"]
    assert found.verdict == "look"
    assert found.figure == "1 pair: 1.2 % of all images; within a generator 1.2 %"


def test_experiments_are_asked_for_what_they_train_on_and_test(corpus, tmp_path):
    made = corpus(num=20)
    twin(made, rows(made, split="train")[0], rows(made, split="test")[0])
    within = {"x": Experiment(train="generator = 'gan'", test="generator = 'vae'")}
    connection = with_features(made, tmp_path)
    one = judged(connection, TRAIN_TEST)["experiments"]
    assert one.verdict == "leak"
    assert one.figure == "x: 1 of 80 tested images are like trained ones (1.2 %)"
    assert one.details[0] == {
        "experiment": "x",
        "pairs": 1,
        "images": 1,
        "tested": 80,
        "share": 1 / 80,
    }
    ok = judged(connection, within)["experiments"]  # both images are of one generator
    assert (ok.verdict, ok.figure) == ("ok", "none")
    both = judged(connection, {"y": within["x"], **TRAIN_TEST})["experiments"]
    assert [row["experiment"] for row in both.details[:-1]] == ["y", "x"]


def test_seeds_are_asked_once_and_what_cannot_be_asked_is_said(corpus, tmp_path):
    made = corpus(num=20)
    twin(made, rows(made, split="train")[0], rows(made, split="test")[0])
    connection = with_features(made, tmp_path)
    several = TRAIN_TEST["x"].model_copy(update={"sweep": {"seed": (0, 1, 2)}})
    wrong = Experiment(train="split = 'none'", test="split = 'test'")
    one = judged(connection, {"x": several, "wrong": wrong})["experiments"]
    assert [row["experiment"] for row in one.details[:-1]] == ["x"]
    assert one.seen.startswith("not asked: wrong: ")
    one = judged(connection, {"wrong": wrong})["experiments"]
    assert one.verdict == "not judged"


def test_images_without_an_embedding_or_a_place_in_the_listing_are_left_out(corpus, opened):
    made = corpus(num=20)
    twin(made, rows(made, split="train")[0], rows(made, split="test")[0])
    gone = rows(made, split="test")[0]
    made.listing = {
        name: [v for row, v in enumerate(values) if row != gone]
        for name, values in made.listing.items()
    }
    assert judged(opened(made))["splits"].figure == "none"


def test_without_embeddings_nothing_is_judged(corpus, tmp_path):
    nodes = corpus(num=5).write(tmp_path)
    none = connect(nodes | {"image_embeddings": ("image_embeddings", [])})
    assert {one.figure for one in judged(none).values()} == {"no image embeddings"}
    two = {**nodes, "a": nodes["image_embeddings"], "b": nodes["image_embeddings"]}
    del two["image_embeddings"]
    found = judged(connect(two))["splits"]
    assert (found.verdict, found.figure) == ("not judged", "several nodes make image embeddings")


def test_many_images_without_the_index_say_how_to_install_it(corpus, opened, monkeypatch):
    monkeypatch.setattr(checks, "EXACT", 50)
    monkeypatch.setattr(checks, "has_index", lambda: False)
    found = judged(opened(corpus(num=20)))
    assert {one.verdict for one in found.values()} == {"not judged"}
    assert found["splits"].figure == "160 images: over 50 it takes an index"
    assert "pip install faiss-cpu" in found["splits"].advice


def test_a_threshold_that_tells_nothing_is_not_judged(corpus, opened, monkeypatch):
    def many(*given):
        raise TooMany

    monkeypatch.setattr(checks, "alike", many)
    found = judged(opened(corpus(num=5)))
    assert found["labels"].verdict == "not judged"
    assert "--cosine" in found["labels"].advice


def test_one_label_is_not_judged(corpus, opened):
    made = corpus(num=5)
    made.listing["label"] = [0] * len(made.fake)
    assert judged(opened(made))["labels"].verdict == "not judged"


def test_one_split_and_one_generator_are_not_judged(corpus, opened):
    made = corpus(num=20, generators=("gan",))
    made.listing["split"] = ["train"] * len(made.fake)
    found = judged(opened(made))
    assert found["splits"].verdict == found["generators"].verdict == "not judged"
