import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import UserError
from pipeline.head import data


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
