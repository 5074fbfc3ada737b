import numpy as np
import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.errors import UserError
from pipeline.head.vectors import gather
from pipeline.head.vectors.parts import locate

NAMES = {"global", "local", "image", "cosine_global"}


def gathered(connection, *images, names=NAMES):
    """The matrices of some images of one part."""
    (part,) = locate(connection, pa.array([f"{i:032x}" for i in images]))
    return gather.gather(part, names)


def test_vectors_meet_their_image_whatever_the_order(content, store):
    made = content()
    order = np.random.default_rng(1).permutation(144)  # of the first part
    shuffled = {
        name: np.concatenate([values[:144][order], values[144:]])
        if isinstance(values, np.ndarray)
        else [values[i] for i in order] + values[144:]
        for name, values in made.features.items()
    }
    expected = made.features
    made.features = shuffled
    x = gathered(store(made), 20, 3, 77)
    assert x["global"].dtype == np.float16
    for name, column in (("global", "global"), ("image", "embedding")):
        assert np.allclose(x[name], expected[column][[3, 20, 77]], atol=1e-3)  # in the part's order
    assert x["cosine_global"].dtype == np.float32
    assert np.allclose(x["cosine_global"][:, 0], np.take(expected["cosine_global"], [3, 20, 77]))


def test_local_is_zeros_without_objects(content, store):
    x = gathered(store(content()), 7, 8, 9)
    assert (x["local"][1] == 0).all()
    assert (x["local"][[0, 2]] != 0).all()


def test_local_keeps_its_width_when_no_image_has_objects(content, store):
    made = content()
    made.features["num_objects"] = [0] * len(made.features["num_objects"])
    x = gathered(store(made), 0, 1, 2)
    assert x["local"].shape == (3, 8)
    assert (x["local"] == 0).all()


def test_vectors_that_are_not_finite_are_an_error(content, store):
    made = content()
    made.features["global"][5, 2] = np.inf
    assert gathered(store(made), 4)["global"].shape == (1, 8)
    with pytest.raises(UserError, match=r"features\.global holds values that are not finite"):
        gathered(store(made), 5)


def test_numbers_that_are_not_finite_are_an_error(content, store):
    made = content()
    made.features["cosine_global"][5] = float("nan")
    with pytest.raises(
        UserError, match=r"features\.cosine_global holds values that are not finite"
    ):
        gathered(store(made), 5)


def test_half_reads_the_rows_of_a_slice():
    column = tables.vectors(np.arange(12).reshape(4, 3), np.array([True, False, True, True]))
    x, valid = gather.half(column.slice(1, 3))
    assert valid.tolist() == [False, True, True]
    assert x[1:].tolist() == [[6, 7, 8], [9, 10, 11]]
    assert gather.half(column.slice(4))[0].shape == (0, 3)
