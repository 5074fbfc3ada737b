import pytest
from pydantic import ValidationError

from pipeline import tables
from pipeline.stages import output_parameters
from pipeline.stages.caption import STAGE, CaptionParameters, run

BLACK, RED, BLUE = (0, 0, 0), (255, 0, 0), (0, 0, 255)


def test_one_row_for_each_image(images, captioner):
    parameters = CaptionParameters(model="m", num_beams=2, max_new_tokens=7, batch_size=2)
    table = run({"images": images(a=RED, b=BLUE, c=RED)}, parameters, (captioner,))
    tables.check("captions", table)
    assert table.to_pylist()[1] == {
        "image_id": "b",
        "caption": "blue",
        "num_tokens": 4,
        "mean_logprob": -0.5,
        "error": None,
    }
    assert table["caption"].to_pylist() == ["red", "blue", "red"]
    assert captioner.calls == [(2, 2, 7), (1, 2, 7)]


def test_images_that_cannot_be_captioned_stay_as_failed_rows(images, captioner):
    listed = images(a=RED, broken=b"no image", black=BLACK, z=BLUE)
    table = run({"images": listed}, CaptionParameters(model="m"), (captioner,))
    assert table["image_id"].to_pylist() == ["a", "broken", "black", "z"]
    assert table["caption"].to_pylist() == ["red", None, None, "blue"]
    assert table["num_tokens"].to_pylist() == [3, None, None, 4]
    errors = table["error"].to_pylist()
    assert errors[1]
    assert errors == [None, errors[1], "the captioner wrote nothing", None]


def test_what_changes_speed_only_is_not_in_the_fingerprint():
    one = CaptionParameters(model="m", batch_size=1, threads=1, device="cpu")
    assert output_parameters(one) == {"num_beams": 3, "max_new_tokens": 40, "precision": "fp32"}
    (spec,) = STAGE.models(one)
    assert (spec.model, spec.precision, spec.device) == ("m", "fp32", "cpu")


def test_senseless_parameters_are_refused():
    for wrong in ({"num_beams": 0}, {"max_new_tokens": 0}, {"beams": 3}):
        with pytest.raises(ValidationError):
            CaptionParameters(model="m", **wrong)
