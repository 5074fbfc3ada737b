import pyarrow as pa
import pytest

from pipeline.stages.shared.phrases import check_template, fill

PHRASES = pa.chunked_array([["red ball", None], ["cube"]], pa.string())


def test_the_plain_template_changes_nothing():
    assert fill("{}", PHRASES) is PHRASES


def test_a_template_is_filled_and_null_stays_null():
    assert fill("a photo of a {}.", PHRASES).to_pylist() == [
        "a photo of a red ball.",
        None,
        "a photo of a cube.",
    ]


def test_a_template_has_one_place():
    assert check_template("a {}") == "a {}"
    for wrong in ("a", "{} {}", "{0}"):
        with pytest.raises(ValueError, match="exactly one"):
            check_template(wrong)
