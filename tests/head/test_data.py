import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import UserError
from pipeline.head import data
from pipeline.head.experiment import Experiment

TRAIN = "generator = 'gan' and split = 'train'"
TEST = "split = 'test'"


def test_predicates_select_exactly_what_they_say(content, store):
    train, test = data.select(store(content()), Experiment(train=TRAIN, test=TEST), "x")
    assert set(train.table["generator"].to_pylist()) == {"gan"}
    assert set(train.table["split"].to_pylist()) == {"train"}
    assert train.label.tolist() == [0] * 24 + [1] * 24
    assert test.table.num_rows == 3 * 48
    assert set(test.table["split"].to_pylist()) == {"test"}
    assert train.notes == test.notes == ()


def test_without_test_every_image_that_training_did_not_select_is_tested(content, store):
    made = content()
    made.listing["generator"][60] = None  # a null is not a row that training selects
    train, test = data.select(store(made), Experiment(train=TRAIN), "x")
    assert train.table.num_rows == 48
    assert test.table.num_rows == 6 * 48 - 48
    assert not set(train.table["image_id"].to_pylist()) & set(test.table["image_id"].to_pylist())


def test_a_predicate_may_name_features_and_hold_comments(content, store):
    train = f"{TRAIN} and num_objects > 0 -- only with objects"
    rows, _ = data.select(store(content()), Experiment(train=train, test=TEST), "x")
    assert rows.table.num_rows == 42


def test_failed_unlabelled_and_repeated_rows_are_left_out_and_counted(content, store):
    made = content()
    made.features["error"][3] = "cannot be decoded"
    made.listing["label"][4] = None
    made.listing["image_id"][5], made.listing["error"][5] = None, "cannot be read"
    made.listing["image_id"][7] = made.listing["image_id"][6]  # the same bytes at two paths
    rows, _ = data.select(store(made), Experiment(train=TRAIN, test=TEST), "x")
    assert rows.table.num_rows == 44
    assert rows.notes == (
        "2 failed rows left out",
        "1 unlabelled rows left out",
        "1 repeated files of the same images left out",
    )


def test_a_real_image_shared_by_generators_is_tested_once_for_each(content, store):
    made = content()
    gan, vae = 48, 96 + 48  # the first real test image of each
    made.listing["image_id"][vae] = made.listing["image_id"][gan]
    connection = store(made)
    _, test = data.select(connection, Experiment(train=TRAIN, test=TEST), "x")
    assert test.table.num_rows == 3 * 48
    shared = test.table.filter(pa.compute.equal(test.table["image_id"], f"{gan:032x}"))
    assert shared["generator"].to_pylist() == ["gan", "vae"]
    matrix = data.gather(connection, test.table["image_id"])["global"]
    expected = made.features["global"].astype(np.float16).astype(np.float32)
    position = test.table["image_id"].to_pylist()
    assert np.array_equal(matrix, expected[[int(i, 16) for i in position]])


def test_vectors_meet_their_image_whatever_the_order(content, store):
    made = content()
    order = np.random.default_rng(1).permutation(len(made.features["image_id"]))
    shuffled = {
        name: values[order] if isinstance(values, np.ndarray) else [values[i] for i in order]
        for name, values in made.features.items()
    }
    expected = made.features
    made.features = shuffled
    ids = [f"{i:032x}" for i in (200, 3, 77)]
    x = data.gather(store(made), pa.chunked_array([ids]))
    assert x["global"].dtype == np.float32
    for name, column in (("global", "global"), ("image_embedding", "embedding")):
        assert np.allclose(x[name], expected[column][[200, 3, 77]], atol=1e-3)
    assert np.allclose(x["cosine_global"][:, 0], np.take(expected["cosine_global"], [200, 3, 77]))


def test_local_is_zeros_without_objects(content, store):
    made = content()
    x = data.gather(store(made), pa.chunked_array([[f"{i:032x}" for i in (7, 8, 9)]]))
    assert (x["local"][1] == 0).all()
    assert (x["local"][[0, 2]] != 0).all()


def test_local_keeps_its_width_when_no_image_has_objects(content, store):
    made = content()
    made.features["num_objects"] = [0] * len(made.features["num_objects"])
    x = data.gather(store(made), pa.chunked_array([[f"{i:032x}" for i in range(3)]]))
    assert x["local"].shape == (3, 8)
    assert (x["local"] == 0).all()


@pytest.mark.parametrize(
    ("experiment", "says"),
    [
        ({"train": "genertor = 'gan'"}, "did you mean 'generator'?"),
        ({"train": 'generator = "gan"'}, "single quotes"),
        ({"train": "generator = "}, "Parser Error"),
        ({"train": "true); drop view listing; select (true"}, "several statements"),
        ({"train": "generator = 'progan'"}, "selects no usable image"),
        ({"train": f"{TRAIN} and label = 1"}, "all 24 training rows are fake (label 1)"),
        ({"train": f"{TRAIN} and label = 0"}, "all 24 training rows are real (label 0)"),
        ({"train": TRAIN, "test": "split = 'val'"}, "experiments.x.test"),
        ({"train": "generator = 'gan'", "test": TEST}, "48 images are in both training and test"),
    ],
)
def test_wrong_predicates_say_what_and_where(content, store, experiment, says):
    with pytest.raises(UserError) as error:
        data.select(store(content()), Experiment(**experiment), "x")
    assert says in str(error.value)
    assert "experiments.x" in str(error.value)


def test_an_image_with_two_labels_is_an_error(content, store):
    made = content()
    made.listing["image_id"][30] = made.listing["image_id"][2]
    with pytest.raises(UserError, match=f"1 images are labelled both.*{2:032x}"):
        data.select(store(made), Experiment(train=TRAIN, test=TEST), "x")


def test_images_without_features_name_the_command(content, store):
    made = content()
    made.features = {name: values[:200] for name, values in made.features.items()}
    with pytest.raises(UserError, match=r"48 of 144 selected.*(?s:.*)--until features"):
        data.select(store(made), Experiment(train=TRAIN, test=TEST), "x")


def test_vectors_that_are_not_finite_are_an_error(content, store):
    made = content()
    made.features["global"][5, 2] = np.inf
    with pytest.raises(UserError, match=r"features\.global holds values that are not finite"):
        data.gather(store(made), pa.chunked_array([[f"{5:032x}"]]))


def test_vectors_of_two_widths_are_an_error():
    import duckdb

    connection = duckdb.connect()
    connection.execute(
        'create view features as select image_id, x as "global" '
        "from (values ('a', [1.0::float]), ('b', [1.0::float, 2])) as t(image_id, x)"
    )
    with pytest.raises(UserError, match=r"different widths: \[1, 2\]"):
        data.gather(connection, pa.chunked_array([["a", "b"]]))
