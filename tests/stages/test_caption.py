import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline import tables
from pipeline.models.captioners.generation import Caption, seed_of
from pipeline.spec import output_parameters
from pipeline.stages.caption import STAGE, CaptionParameters, run
from tests.helpers.tiny_captioners import build

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


def test_a_caption_of_unknown_probability_is_a_failed_row(images, captioner, monkeypatch):
    def caption(prepared, generation):
        return [Caption("red" if i else "", 1, float("nan")) for i in range(len(prepared))]

    monkeypatch.setattr(captioner, "caption", caption)
    table = run({"images": images(a=RED, b=BLUE)}, CaptionParameters(model="m"), (captioner,))
    assert table["error"].to_pylist() == ["the caption's probability is not finite"] * 2
    assert table["mean_logprob"].null_count == table["caption"].null_count == 2


def test_sampling_gives_each_image_a_seed_of_its_own(images, captioner):
    """The same for any part: image by image, by its id and the stated seed."""
    listed = images(a=RED, broken=b"no image", b=BLUE)
    parameters = CaptionParameters(model="m", do_sample=True, num_beams=1, batch_size=8, seed=5)
    run({"images": listed}, parameters, (captioner,))
    assert captioner.seeds == [seed_of(5, "a"), seed_of(5, "b")]
    assert [count for count, *_ in captioner.calls] == [1, 1]
    run({"images": listed.slice(2)}, parameters, (captioner,))
    assert captioner.seeds[2:] == [seed_of(5, "b")]


def test_what_is_sampled_depends_on_neither_part_nor_batch(images, tmp_path):
    listed = images(**{name: (40 * i, 255 - 40 * i, 90) for i, name in enumerate("abcde")})
    parameters = CaptionParameters(
        model=str(build("blip2_opt", tmp_path / "model")),
        prompt="describe the image",
        device="cpu",
        do_sample=True,
        num_beams=1,
        max_new_tokens=9,
        temperature=2.0,
    )
    model = STAGE.models(parameters)[0].load()
    whole = run({"images": listed}, parameters, (model,))
    parts = [run({"images": listed.slice(start, 2)}, parameters, (model,)) for start in (4, 2, 0)]
    assert whole.equals(pa.concat_tables(reversed(parts)))
    assert len(set(whole["caption"].to_pylist())) == 5


def test_what_changes_speed_only_is_not_in_the_fingerprint():
    one = CaptionParameters(model="m", batch_size=1, threads=1, device="cpu")
    unset = ("temperature", "top_p", "top_k", "length_penalty", "early_stopping")
    unset += ("no_repeat_ngram_size", "repetition_penalty", "prompt")
    assert output_parameters(one) == {
        **dict.fromkeys(unset),
        "num_beams": 3,
        "max_new_tokens": 40,
        "do_sample": False,
        "seed": 0,
        "precision": "fp32",
        "trust_remote_code": False,
    }
    (spec,) = STAGE.models(one)
    assert (spec.model, spec.precision, spec.device) == ("m", "fp32", "cpu")
    assert spec.trust_remote_code is False
    automatic = CaptionParameters(model="m", precision="auto", trust_remote_code=True)
    assert output_parameters(automatic)["precision"] == "auto"
    assert STAGE.models(automatic)[0].trust_remote_code is True


def test_senseless_parameters_are_refused():
    for wrong in ({"num_beams": 0}, {"max_new_tokens": 0}, {"beams": 3}, {"top_p": 0.5}):
        with pytest.raises(ValidationError):
            CaptionParameters(model="m", **wrong)
