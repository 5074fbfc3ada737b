import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.stages.shared.objects_by_image import PerImage

IMAGES = tables.build("images", {"image_id": ["a", "b", "c", "d"]})
OBJECTS = pa.table({"image_id": ["d", "a", "d", "c", "a", "b"]})


def test_each_image_comes_once_with_all_its_wanted_rows():
    wanted = np.array([1, 1, 1, 0, 1, 0], bool)
    groups = PerImage(IMAGES, OBJECTS, wanted)
    assert groups.images["image_id"].to_pylist() == ["a", "d"]
    assert [rows.tolist() for rows in groups.rows] == [[1, 4], [0, 2]]


def test_an_error_of_an_image_is_that_of_its_rows():
    groups = PerImage(IMAGES, OBJECTS, np.ones(6, bool))
    errors = np.full(6, None, object)
    groups.spread(["cannot decode", None, None, None], errors)
    assert errors.tolist() == [None, "cannot decode", None, None, "cannot decode", None]


def test_nothing_wanted_opens_nothing():
    groups = PerImage(IMAGES, OBJECTS, np.zeros(6, bool))
    assert (len(groups.images), groups.rows) == (0, [])
