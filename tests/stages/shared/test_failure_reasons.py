import pyarrow as pa
import pytest

from pipeline.stages.shared.failure_reasons import because, first, positions, reasons


def test_a_reason_is_prefixed_once():
    assert because("caption", "too dark") == "no caption: too dark"
    assert because("region", "no caption: too dark") == "no caption: too dark"
    assert because("caption", "no such file") == "no caption: no such file"


def test_reasons_and_the_first_of_them():
    own = reasons("caption", pa.chunked_array([["x", None, None]], pa.string()))
    other = reasons("region", pa.chunked_array([["y"], ["z", None]], pa.string()))
    assert own.tolist() == ["no caption: x", None, None]
    assert first(own, other).tolist() == ["no caption: x", "no region: z", None]


def test_positions_are_found_by_key():
    among = pa.chunked_array([["a", "b"], ["c"]])
    keys = pa.chunked_array([["c", None, "a", "c"]])
    assert positions(keys, among, "t").tolist() == [2, -1, 0, 2]


def test_a_lost_or_doubled_key_is_an_error():
    with pytest.raises(ValueError, match="t: 'x' is not among the 1 rows"):
        positions(pa.chunked_array([["x"]]), pa.chunked_array([["a"]]), "t")
    with pytest.raises(ValueError, match="not unique"):
        positions(pa.chunked_array([["a"]]), pa.chunked_array([["a", "a"]]), "t")
