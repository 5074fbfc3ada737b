import numpy as np
import pytest
from PIL import Image

from pipeline import tables
from pipeline.stages.ground import GroundParameters, run

CLIP = {"model": "local-dir:/models/clip"}
NAMES = ("image_id", "object_no", "phrase", "error")
SCALES = {"scales": [0.25, 0.5], "overlap": 0.0}


def _objects(*rows):
    return tables.build("objects", dict(zip(NAMES, zip(*rows, strict=True), strict=True)))


def _boxes(table):
    return [tuple(row[name] for name in ("x0", "y0", "x1", "y1")) for row in table.to_pylist()]


def _picture(size=(16, 16), red=(0, 0, 4, 4), blue=(8, 8, 16, 16)):
    image = Image.new("RGB", size, (10, 10, 10))
    image.paste((255, 0, 0), red)
    image.paste((0, 0, 255), blue)
    return image


@pytest.mark.parametrize("batch_size", [1, 7, 64, "auto"])
def test_each_phrase_gets_its_best_window(images, clip, batch_size):
    # across the image, where the transform alone would not see
    listed = images(a=_picture(), b=_picture((32, 16), red=(28, 12, 32, 16), blue=(0, 0, 8, 8)))
    objects = _objects(
        ("a", 0, "red", None), ("b", 0, "blue", None), ("a", 1, "blue", None), ("b", 1, "red", None)
    )
    parameters = GroundParameters(method="windows", clip=CLIP, batch_size=batch_size, **SCALES)
    table = run({"images": listed, "objects": objects}, parameters, (clip,))
    tables.check("regions", table)
    assert _boxes(table)[0] == (0, 0, 0.25, 0.25)
    assert _boxes(table)[3] == (28 / 32, 12 / 16, 1, 1)
    blue_a, blue_b = _boxes(table)[2], _boxes(table)[1]
    assert blue_a[0] >= 0.5
    assert blue_b[2] <= 0.25
    # (1, 0, 0, 1) made unit, with itself: a window of nothing but the colour
    assert table["score"].to_pylist() == pytest.approx([1.0] * 4, abs=1e-6)


def test_every_window_is_embedded_once_however_many_objects(images, clip):
    listed = images(a=_picture(), b=_picture())
    objects = _objects(*((name, n, "red", None) for name in "ab" for n in range(9)))
    parameters = GroundParameters(method="windows", clip=CLIP, batch_size=15, **SCALES)
    run({"images": listed, "objects": objects}, parameters, (clip,))
    assert clip.batches == [1, 15, 15, 10]  # one text; 2 x (16 + 4) windows, images mixed


def test_images_that_fail_keep_their_rows_and_harm_no_other(images, clip):
    listed = images(
        a=_picture(), broken=b"no image", black=(0, 0, 0), bare=_picture(), c=_picture()
    )
    objects = _objects(
        ("a", 0, "red", None),
        ("broken", 0, "red", None),
        ("black", 0, "red", None),
        ("bare", None, None, None),
        ("c", 0, "red", None),
    )
    parameters = GroundParameters(method="windows", clip=CLIP, batch_size=3, **SCALES)
    table = run({"images": listed, "objects": objects}, parameters, (clip,))
    assert table["x0"].is_valid().to_pylist() == [True, False, False, False, True]
    errors = table["error"].to_pylist()
    assert errors[0] is errors[3] is errors[4] is None
    assert errors[1]
    assert errors[2] == "the region's score is not finite"
    assert _boxes(table)[0] == _boxes(table)[4] == (0, 0, 0.25, 0.25)


def test_a_phrase_that_is_nowhere_is_a_row_with_a_low_score(images, clip):
    objects = _objects(("a", 0, "red", None), ("a", 1, "green", None))
    parameters = GroundParameters(method="windows", clip=CLIP, **SCALES)
    table = run({"images": images(a=_picture()), "objects": objects}, parameters, (clip,))
    red, green = table["score"].to_pylist()
    assert red == pytest.approx(1.0)
    assert green < 0.8
    assert np.isfinite(_boxes(table)).all()
    assert table["error"].null_count == 2
