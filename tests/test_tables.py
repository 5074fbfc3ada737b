import numpy as np
import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.errors import UserError


def test_build_fills_missing_columns_with_nulls_of_the_declared_type():
    table = tables.build("captions", {"image_id": ["a", "b"], "caption": ["x", None]})
    assert table.schema == tables.schema("captions")
    assert table["mean_logprob"].to_pylist() == [None, None]
    tables.check("captions", table)


def test_build_refuses_an_undeclared_column():
    with pytest.raises(ValueError, match="no column"):
        tables.build("captions", {"image_id": ["a"], "captoin": ["x"]})


def test_vectors_round_trip_with_nulls():
    values = np.array([[0.5, -0.25], [1.0, 2.0], [0.125, 0.0]], np.float32)
    column = tables.vectors(values, np.array([True, False, True]))
    assert column.type == pa.list_(pa.float16(), 2)
    dense, valid = tables.matrix(column)
    assert dense.dtype == np.float32
    assert dense.tolist() == [[0.5, -0.25], [0.0, 0.0], [0.125, 0.0]]
    assert valid.tolist() == [True, False, True]


def test_matrix_respects_slices_and_chunks():
    column = tables.vectors(np.arange(8, dtype=np.float32).reshape(4, 2))
    assert tables.matrix(column.slice(1, 2))[0].tolist() == [[2, 3], [4, 5]]
    chunked = pa.chunked_array([column.slice(0, 1), column.slice(3, 1)])
    assert tables.matrix(chunked)[0].tolist() == [[0, 1], [6, 7]]
    empty = pa.chunked_array([], type=column.type)
    assert tables.matrix(empty)[0].shape == (0, 2)


def test_check_names_the_wrong_column():
    table = tables.build("captions", {"image_id": ["a"]})
    with pytest.raises(ValueError, match="captions lacks the column error"):
        tables.check("captions", table.drop_columns("error"))
    wrong = table.set_column(0, "image_id", pa.array([1]))
    with pytest.raises(ValueError, match=r"captions\.image_id is int64, not string"):
        tables.check("captions", wrong)
    vectors = pa.table({"image_id": ["a"], "embedding": [[1.0]], "norm": [1.0], "error": [None]})
    with pytest.raises(ValueError, match="not a fixed-size list of float16"):
        tables.check("image_embeddings", vectors)


def test_different_widths_are_an_error_that_names_them():
    two = tables.vectors(np.zeros((1, 2), np.float32))
    three = tables.vectors(np.zeros((1, 3), np.float32))
    assert tables.same_width(images=two, texts=two) == 2
    with pytest.raises(UserError, match="'images': 2, 'texts': 3"):
        tables.same_width(images=two, texts=three)
