import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline import tables
from pipeline.models.detectors.spec import DetectorSpec
from pipeline.spec import output_parameters
from pipeline.stages.ground import STAGE, GroundParameters, run

CLIP = {"model": "local-dir:/models/clip"}
BOX = ("x0", "y0", "x1", "y1")


def _objects(*rows):
    names = ("image_id", "object_no", "phrase", "error")
    return tables.build("objects", dict(zip(names, zip(*rows, strict=True), strict=True)))


def _boxes(table):
    return [tuple(row[name] for name in BOX) for row in table.to_pylist()]


def _picture(size=(16, 16), red=(0, 0, 4, 4), blue=(8, 8, 16, 16)):
    image = Image.new("RGB", size)
    image.paste((255, 0, 0), red)
    image.paste((0, 0, 255), blue)
    return image


def test_whole_opens_no_image(images):
    listed = images(a=b"never read", b=b"neither")
    objects = _objects(("b", 0, "red", None), ("b", 1, "blue", None), ("a", None, None, None))
    table = run({"images": listed, "objects": objects}, GroundParameters(method="whole"), ())
    tables.check("regions", table)
    assert _boxes(table) == [(0, 0, 1, 1), (0, 0, 1, 1), (None,) * 4]
    assert table["score"].to_pylist() == [1, 1, None]
    assert table["error"].to_pylist() == [None] * 3


def test_patches_find_each_phrase(images, clip):
    listed = images(a=_picture(), b=_picture(red=(12, 0, 16, 8), blue=(0, 0, 0, 0)))
    objects = _objects(("a", 0, "red", None), ("a", 1, "blue", None), ("b", 0, "red", None))
    parameters = GroundParameters(method="patches", clip=CLIP)
    table = run({"images": listed, "objects": objects}, parameters, (clip,))
    tables.check("regions", table)
    assert _boxes(table) == [(0, 0, 0.25, 0.25), (0.5, 0.5, 1, 1), (0.75, 0, 1, 0.5)]
    patch = 1 / (1 + 0.2**2) ** 0.5  # (1, 0, 0, 0.2) made unit, against (1, 0, 0, 1) made unit
    assert table["score"].to_pylist()[0] == pytest.approx(patch * 1.2 / 2**0.5, rel=1e-5)


def test_boxes_are_fractions_of_the_image_not_of_the_crop(images, clip):
    wide = _picture((32, 16), red=(8, 0, 12, 4), blue=(0, 0, 0, 0))  # seen: columns 8 to 24
    parameters = GroundParameters(method="patches", clip=CLIP)
    clip.encode_patches = _cropped(clip.encode_patches)
    table = run(
        {"images": images(a=wide), "objects": _objects(("a", 0, "red", None))},
        parameters,
        (clip,),
    )
    assert _boxes(table) == [(0.25, 0, 0.375, 0.25)]


def _cropped(encode):
    return lambda images: encode([image.crop((8, 0, 24, 16)) for image in images])


@pytest.mark.parametrize("batch_size", [1, 2])
def test_what_failed_before_or_cannot_be_read_stays_as_a_row(images, clip, batch_size):
    listed = images(a=_picture(), broken=b"no image", bare=_picture(), lost=_picture())
    objects = _objects(
        ("a", 0, "red", None),
        ("broken", 0, "red", None),
        ("broken", 1, "blue", None),
        ("bare", None, None, None),
        ("lost", None, None, "no caption: too dark"),
    )
    parameters = GroundParameters(method="patches", clip=CLIP, batch_size=batch_size)
    table = run({"images": listed, "objects": objects}, parameters, (clip,))
    assert table["image_id"].to_pylist() == ["a", "broken", "broken", "bare", "lost"]
    assert table["object_no"].to_pylist() == [0, 0, 1, None, None]
    assert table["x0"].is_valid().to_pylist() == [True, False, False, False, False]
    errors = table["error"].to_pylist()
    assert errors[0] is errors[3] is None
    assert errors[1] == errors[2]
    assert errors[1]
    assert errors[4] == "no caption: too dark"


def test_a_part_in_which_no_caption_names_anything(images, clip):
    objects = _objects(("a", None, None, None))
    parameters = GroundParameters(method="patches", clip=CLIP)
    table = run({"images": images(a=b""), "objects": objects}, parameters, (clip,))
    assert _boxes(table) == [(None,) * 4]
    assert table["error"].to_pylist() == [None]


def test_the_methods_of_clip_need_one_and_whole_none():
    for method in ("patches", "windows"):
        with pytest.raises(ValidationError, match=f"`method: {method}` needs a `clip`"):
            GroundParameters(method=method)
        parameters = GroundParameters(method=method, clip=CLIP)
        assert STAGE.models(parameters) == (parameters.clip,)
        assert output_parameters(parameters)["clip"] == {"pretrained": None, "precision": "fp32"}
        assert "batch_size" not in output_parameters(parameters)
    assert STAGE.models(GroundParameters(method="whole")) == ()


@pytest.mark.parametrize("method", ["owlv2", "grounding-dino"])
def test_a_detector_is_named_by_its_model(method):
    with pytest.raises(ValidationError, match=f"`method: {method}` needs a `model`"):
        GroundParameters(method=method)
    parameters = GroundParameters(method=method, model="some/detector", precision="bf16")
    (spec,) = STAGE.models(parameters)
    assert spec == DetectorSpec(family=method, model="some/detector", precision="bf16")
    kept = output_parameters(parameters)
    assert (kept["method"], kept["precision"], kept["trust_remote_code"]) == (method, "bf16", False)
    assert "device" not in kept


@pytest.mark.parametrize(
    ("method", "unused"),
    [
        ("whole", {"clip": CLIP}),
        ("whole", {"phrase_template": "a {}"}),
        ("patches", {"clip": CLIP, "scales": [0.5]}),
        ("patches", {"clip": CLIP, "model": "some/detector"}),
        ("patches", {"clip": CLIP, "device": "cuda"}),
        ("windows", {"clip": CLIP, "threshold": 0.75}),
        ("owlv2", {"model": "some/detector", "clip": CLIP}),
        ("grounding-dino", {"model": "some/detector", "overlap": 0.5}),
    ],
)
def test_a_key_that_the_method_does_not_use_is_an_error(method, unused):
    name = list(unused)[-1]
    with pytest.raises(ValidationError, match=f"`method: {method}` does not use `{name}`"):
        GroundParameters(method=method, **unused)


@pytest.mark.parametrize(
    "given",
    [
        {"method": "whole"},
        {"method": "patches", "clip": CLIP},
        {"method": "windows", "clip": CLIP, "scales": [0.5]},
        {"method": "owlv2", "model": "some/detector"},
        {"method": "grounding-dino", "model": "some/detector"},
    ],
)
def test_parameters_come_back_from_json_as_they_were(given):
    parameters = GroundParameters(**given)
    assert GroundParameters.model_validate_json(parameters.model_dump_json()) == parameters


@pytest.mark.parametrize(
    "wrong",
    [{"scales": []}, {"scales": [0.5, 0.0]}, {"scales": [1.1]}, {"overlap": 1.0}, {"overlap": -1}],
)
def test_windows_that_cannot_be_laid_out_are_refused(wrong):
    with pytest.raises(ValidationError):
        GroundParameters(method="windows", clip=CLIP, **wrong)
