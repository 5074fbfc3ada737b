import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.models.parser.noun_phrases import Phrase
from pipeline.models.parser.parser import ParserModel
from pipeline.spec import output_parameters
from pipeline.stages.parse import STAGE, ParseParameters, run
from pipeline.stages.registry import get_stage
from pipeline.tables import build, check


class _Parser:
    """Every word is a phrase of its own."""

    def noun_phrases(self, texts, batch_size):
        found = []
        for text in texts:
            words = (text or "").split()
            starts = [text.find(word) for word in words]
            found.append(
                [
                    Phrase(w, w.rstrip("s"), s, s + len(w))
                    for w, s in zip(words, starts, strict=True)
                ]
            )
        return found


def _run(captions: dict) -> pa.Table:
    table = run({"captions": build("captions", captions)}, ParseParameters(model="m"), [_Parser()])
    check("objects", table)
    return table


def test_rows_of_objects():
    table = _run({"image_id": ["b", "a"], "caption": ["cats dog", "cow"]})
    assert table.drop_columns("error").to_pylist() == [
        {"image_id": "b", "object_no": 0, "phrase": "cats", "head": "cat", "start": 0, "end": 4},
        {"image_id": "b", "object_no": 1, "phrase": "dog", "head": "dog", "start": 5, "end": 8},
        {"image_id": "a", "object_no": 0, "phrase": "cow", "head": "cow", "start": 0, "end": 3},
    ]
    assert table["error"].null_count == 3


def test_every_image_stays():
    errors = [None, None, "no memory", None]
    captions = ["", None, None, "dog"]
    table = _run({"image_id": list("abcd"), "caption": captions, "error": errors})
    assert table["image_id"].to_pylist() == list("abcd")
    assert table["object_no"].to_pylist() == [None, None, None, 0]
    assert table["phrase"].to_pylist() == [None, None, None, "dog"]
    assert table["error"].to_pylist() == [None, None, "no caption: no memory", None]


def test_no_rows_in_no_rows_out():
    assert _run({"image_id": [], "caption": []}).num_rows == 0


def test_declaration():
    assert get_stage("parse") is STAGE
    assert (STAGE.inputs, STAGE.output, STAGE.key) == (("captions",), "objects", "image_id")
    assert STAGE.models(ParseParameters(model="en_x")) == (ParserModel("en_x"),)
    assert output_parameters(ParseParameters(batch_size=8)) == {}


def test_unknown_parameter_is_refused():
    with pytest.raises(ValidationError):
        ParseParameters(modle="en_core_web_sm")
