from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline import tables
from pipeline.models.clip.pixels import fitted
from pipeline.spec import output_parameters
from pipeline.stages.embed_objects import EmbedObjectsParameters, crop, run
from pipeline.stages.shared.batching import NOT_FINITE

CLIP = {"model": "local-dir:/models/clip"}
RED, BLUE = (255, 0, 0), (0, 0, 255)
# of EXIF: how the upright picture is turned into what is stored
TURNS = dict(enumerate(["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE",
                        "ROTATE_90", "TRANSVERSE", "ROTATE_270"], 2))  # fmt: skip


def _regions(*rows):
    names = ("image_id", "object_no", "x0", "y0", "x1", "y1", "error")
    return tables.build("regions", dict(zip(names, zip(*rows, strict=True), strict=True)))


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((0.25, 0.5, 0.75, 1.0), 0.0, (2, 2, 6, 4)),
        ((0.3, 0.3, 0.7, 0.7), 0.0, (2, 1, 6, 3)),  # rounded outward
        ((1 / 3, 0.0, 2 / 3, 1.0), 0.0, (2, 0, 6, 4)),
        ((0.5, 0.5, 0.5, 0.5), 0.0, (4, 2, 5, 3)),  # at least one pixel
        ((1.0, 1.0, 1.0, 1.0), 0.0, (7, 3, 8, 4)),
        ((0.25, 0.25, 0.5, 0.5), 0.5, (1, 0, 5, 3)),
        ((0.0, 0.0, 1.0, 1.0), 1.0, (0, 0, 8, 4)),  # never beyond the image
    ],
)
def test_which_pixels_a_box_takes(box, margin, expected):
    rows, columns = np.mgrid[0:4, 0:8].astype(np.uint8)
    image = Image.fromarray(np.stack([columns, rows, 0 * rows], -1))
    pixels = np.asarray(crop(image, np.float32(box), margin))
    left, top, right, bottom = expected
    assert pixels.shape == (bottom - top, right - left, 3)
    assert pixels[0, 0].tolist() == [left, top, 0]
    assert pixels[-1, -1].tolist() == [right - 1, bottom - 1, 0]


def test_a_third_of_an_image_takes_no_pixel_more():
    image = Image.new("RGB", (300, 300))
    assert crop(image, np.float32([1 / 3, 0, 2 / 3, 1])).size == (100, 300)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_one_unit_vector_for_each_region(images, clip, batch_size):
    two = Image.new("RGB", (8, 8), (255, 0, 0))
    two.paste((0, 0, 255), (4, 0, 8, 8))
    listed = images(two=two, broken=b"no image", bare=two, lost=two, black=(0, 0, 0))
    regions = _regions(
        ("two", 0, 0.0, 0.0, 0.5, 1.0, None),
        ("two", 1, 0.5, 0.0, 1.0, 1.0, None),
        ("broken", 0, 0.0, 0.0, 1.0, 1.0, None),
        ("bare", None, None, None, None, None, None),
        ("lost", 0, None, None, None, None, "the region's score is not finite"),
        ("black", 0, 0.0, 0.0, 1.0, 1.0, None),
    )
    parameters = EmbedObjectsParameters(clip=CLIP, batch_size=batch_size)
    table = run({"images": listed, "regions": regions}, parameters, (clip,))
    tables.check("object_embeddings", table)
    assert table["image_id"].to_pylist() == ["two", "two", "broken", "bare", "lost", "black"]
    assert table["object_no"].to_pylist() == [0, 1, 0, None, 0, 0]
    values, valid = tables.matrix(table["embedding"])
    assert valid.tolist() == [True, True, False, False, False, False]
    half = 0.5**0.5
    np.testing.assert_allclose(values[:2], [[half, 0, 0, half], [0, 0, half, half]], atol=5e-4)
    errors = table["error"].to_pylist()
    assert errors[0] is errors[1] is errors[3] is None
    assert errors[2]
    assert errors[4] == "no region: the region's score is not finite"
    assert errors[5] == NOT_FINITE
    assert max(clip.batches) <= batch_size


def test_a_margin_takes_in_more_of_the_image(images, clip):
    two = Image.new("RGB", (8, 8), (255, 0, 0))
    two.paste((0, 0, 255), (4, 0, 8, 8))
    inputs = {
        "images": images(two=two),
        "regions": _regions(("two", 0, 0.0, 0.0, 0.5, 1.0, None)),
    }
    table = run(inputs, EmbedObjectsParameters(clip=CLIP, margin=1.0), (clip,))
    values, _ = tables.matrix(table["embedding"])
    np.testing.assert_allclose(values[0], np.array([1, 0, 1, 2]) / 6**0.5, atol=5e-4)


@pytest.mark.parametrize(
    ("rule", "whole"),
    [
        ({}, []),
        ({"min_score": 0.3, "not_found": "region"}, []),
        ({"min_score": 0.3, "not_found": "whole"}, [1]),
        ({"min_score": 0.3000001, "not_found": "whole"}, [0, 1]),
        ({"min_score": -1, "not_found": "whole"}, []),
    ],
)
def test_a_phrase_that_was_not_found_gets_what_the_rule_says(images, clip, rule, whole):
    two = Image.new("RGB", (8, 8), (255, 0, 0))
    two.paste((0, 0, 255), (4, 0, 8, 8))
    names = ("image_id", "object_no", "x0", "y0", "x1", "y1", "score", "error")
    rows = [
        ("two", 0, 0.0, 0.0, 0.5, 1.0, 0.3, None),
        ("two", 1, 0.5, 0.0, 1.0, 1.0, -0.2, None),
        ("two", 2, None, None, None, None, None, "the region's score is not finite"),
    ]
    regions = tables.build("regions", dict(zip(names, zip(*rows, strict=True), strict=True)))
    parameters = EmbedObjectsParameters(clip=CLIP, **rule)
    table = run({"images": images(two=two), "regions": regions}, parameters, (clip,))
    values, valid = tables.matrix(table["embedding"])
    assert valid.tolist() == [True, True, False]
    half = 0.5**0.5
    expected = np.array([[half, 0, 0, half], [0, 0, half, half]])
    expected[whole] = np.array([1, 0, 1, 2]) / 6**0.5
    np.testing.assert_allclose(values[:2], expected, atol=5e-4)


def test_the_rule_for_phrases_not_found_is_in_the_fingerprint():
    parameters = EmbedObjectsParameters(clip=CLIP, min_score=0.2, not_found="whole")
    kept = output_parameters(parameters)
    assert (kept["min_score"], kept["not_found"]) == (0.2, "whole")
    for half in ({"min_score": 0.2}, {"not_found": "whole"}):
        with pytest.raises(ValidationError, match="go together"):
            EmbedObjectsParameters(clip=CLIP, **half)


def test_images_without_regions_are_not_opened(images, clip):
    inputs = {
        "images": images(bare=b"never read"),
        "regions": _regions(("bare", None, None, None, None, None, None)),
    }
    table = run(inputs, EmbedObjectsParameters(clip=CLIP), (clip,))
    assert table["error"].to_pylist() == [None]
    assert clip.batches == []


def test_a_region_that_cannot_be_prepared_costs_no_other(images, clip):
    def prepare(image):
        if image.width < image.height:
            raise ValueError("too thin")
        return image

    clip.prepare = prepare
    inputs = {
        "images": images(red=Image.new("RGB", (8, 8), (255, 0, 0))),
        "regions": _regions(
            ("red", 0, 0.0, 0.0, 0.1, 1.0, None),
            ("red", 1, 0.0, 0.0, 1.0, 1.0, None),
            ("red", 2, 0.0, 0.0, 0.1, 1.0, None),
        ),
    }
    table = run(inputs, EmbedObjectsParameters(clip=CLIP), (clip,))
    assert table["error"].to_pylist() == ["ValueError: too thin", None, "ValueError: too thin"]


def _ends(width, height):
    """Blue, and red in the first and the last quarter along the longer side."""
    picture = Image.new("RGB", (width, height), BLUE)
    wide, high = (width // 4, height) if width > height else (width, height // 4)
    picture.paste(RED, (0, 0, wide, high))
    picture.paste(RED, (width - wide, height - high, width, height))
    return picture


@pytest.fixture
def fitting(clip):
    """A CLIP of 16 x 16 pixels whose mean is (51, 102, 153)."""
    settings = {"size": (16, 16), "mean": (0.2, 0.4, 0.6), "std": (0.5, 0.5, 0.5)}
    clip.fitted = lambda fit: fitted(settings, fit).prepare
    return clip


SEEN = {  # of a region of 4:1 with red ends: mean (r, g, b), and the 1 of the colour CLIP
    "crop": (0, 0, 1, 1),
    "squash": (0.5, 0, 0.5, 1),
    "pad": (0.25 * 0.5 + 0.75 * 0.2, 0.75 * 0.4, 0.25 * 0.5 + 0.75 * 0.6, 1),
}


@pytest.mark.parametrize("fit", SEEN)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("size", "box"), [((32, 16), (0, 0, 1, 0.5)), ((16, 32), (0.5, 0, 1, 1))])
def test_how_a_region_comes_to_the_models_shape(images, fitting, size, box, orientation, fit):
    """Half of the picture, 32 x 8 or 8 x 32 pixels as a viewer sees it; the other half is green."""
    upright = Image.new("RGB", size, (0, 255, 0))
    corner = (round(box[0] * size[0]), 0)
    upright.paste(_ends(*((32, 8) if size[0] == 32 else (8, 32))), corner)
    turn = TURNS.get(orientation)
    stored = upright.transpose(Image.Transpose[turn]) if turn else upright
    exif, content = Image.Exif(), BytesIO()
    exif[274] = orientation
    stored.save(content, "PNG", exif=exif)
    regions = _regions(("turned", 0, *box, None))
    parameters = EmbedObjectsParameters(clip=CLIP, fit=fit)
    inputs = {"images": images(turned=content.getvalue()), "regions": regions}
    values, _ = tables.matrix(run(inputs, parameters, (fitting,))["embedding"])
    expected = np.array(SEEN[fit]) / np.linalg.norm(SEEN[fit])
    np.testing.assert_allclose(values[0], expected, atol=4e-3)


@pytest.mark.parametrize("fit", SEEN)
def test_a_whole_image_in_place_of_a_region_is_fitted_too(images, fitting, fit):
    """Of an image of 4:1; also where `not_found` puts the whole of it in a region's place."""
    names = ("image_id", "object_no", "x0", "y0", "x1", "y1", "score", "error")
    rows = [("wide", 0, 0, 0, 1, 1, 1.0, None), ("wide", 1, 0.4, 0, 0.6, 1, 0.1, None)]
    regions = tables.build("regions", dict(zip(names, zip(*rows, strict=True), strict=True)))
    parameters = EmbedObjectsParameters(clip=CLIP, fit=fit, min_score=0.5, not_found="whole")
    inputs = {"images": images(wide=_ends(64, 16)), "regions": regions}
    values, _ = tables.matrix(run(inputs, parameters, (fitting,))["embedding"])
    expected = np.array(SEEN[fit]) / np.linalg.norm(SEEN[fit])
    np.testing.assert_allclose(values, [expected, expected], atol=4e-3)


def test_a_region_too_narrow_to_pad_is_a_failed_row_and_squashed_is_none(images, fitting):
    inputs = {
        "images": images(wide=Image.new("RGB", (404, 2), RED)),
        "regions": _regions(("wide", 0, 0, 0, 1, 0.5, None), ("wide", 1, 0, 0, 0.1, 1, None)),
    }
    found = {
        fit: run(inputs, EmbedObjectsParameters(clip=CLIP, fit=fit), (fitting,))["error"]
        for fit in SEEN
    }
    assert found["crop"].to_pylist() == found["squash"].to_pylist() == [None, None]
    narrow, other = found["pad"].to_pylist()
    assert "too narrow: 404x1" in narrow and other is None


def test_the_fit_is_in_the_fingerprint():
    kept = [output_parameters(EmbedObjectsParameters(clip=CLIP, fit=fit))["fit"] for fit in SEEN]
    assert kept == list(SEEN)
    with pytest.raises(ValidationError, match="'crop', 'squash' or 'pad'"):
        EmbedObjectsParameters(clip=CLIP, fit="stretch")
