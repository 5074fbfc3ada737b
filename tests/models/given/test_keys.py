import pyarrow as pa
import pytest

from pipeline.errors import UserError
from pipeline.models.given.keys import Keys, check_named

NAMES = ["b.jpg", "./a.jpg", "ä/é.jpg", "b.jpg", "././c.jpg", "b.jpg"]


def _keys(names):
    return Keys(pa.array(names, pa.large_string()))


def test_a_key_has_the_first_row_of_the_file():
    keys = _keys(NAMES)
    asked = ["a.jpg", "b.jpg", "c.jpg", "ä/é.jpg", "./a.jpg", "zz", "", None]
    assert [keys.row(one) for one in asked] == [1, 0, 4, 2, None, None, None, None]
    assert len(keys) == 6


def test_rows_that_share_a_key():
    repeated, pairs = _keys(NAMES).repeated()
    assert repeated.to_pylist() == ["b.jpg", "b.jpg"]
    assert pairs.tolist() == [[0, 3], [3, 5]]
    for few in ([], ["a"], ["a", "b"]):
        assert _keys(few).repeated()[1].shape == (0, 2)


def test_rows_without_a_key():
    with pytest.raises(UserError, match="2 rows of things name no image: their line is empty"):
        check_named(pa.array(["a", " ", None], pa.large_string()), "things", "line", "x.txt")
    check_named(pa.array(["a", "-"], pa.large_string()), "things", "line", "x.txt")
