import pyarrow as pa
import pytest

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.vectors.matrices import matrices
from pipeline.head.vectors.parts import locate
from pipeline.query.questions import connect


def ids(*numbers):
    return pa.array([f"{i:032x}" for i in numbers])


def test_images_are_found_in_their_parts(content, store):
    made = content()
    made.images["format"][200] = None
    parts = locate(store(made), ids(200, 3, 150, 77))
    assert [(part.name, part.ids.to_pylist(), part.rows.tolist()) for part in parts] == [
        ("part-00000.parquet", ids(3, 77).to_pylist(), [1, 3]),
        ("part-00001.parquet", ids(150, 200).to_pylist(), [2, 0]),
    ]
    assert (parts.count, parts.formats) == (4, ("", "JPEG"))
    assert {"images", "captions", "features"} <= parts.tables and "regions" not in parts.tables
    assert [len(part) for part in locate(store(made), ids(200))] == [1]


def test_rows_meet_by_key(content, store):
    made = content()
    (part,) = locate(store(made), ids(77, 3))
    assert part.one("captions", ["caption"])["caption"].to_pylist() == [
        made.captions["caption"][i] for i in (3, 77)
    ]
    objects = part.read("objects", ["object_no", "phrase"])
    assert objects["position"].to_pylist() == [0, 0, 1, 1]
    assert objects["object_no"].to_pylist() == [0, 1, 0, 1]


def test_an_image_in_no_part_is_an_error(content, store):
    with pytest.raises(UserError, match="1 of 2 selected images are in no part of `images`"):
        locate(store(content()), ids(3, 999))


def test_a_table_that_lacks_a_part_is_an_error(content, tmp_path):
    parts = content().write(tmp_path)
    parts["captions"] = ("captions", parts["captions"][1][:1])
    found = pa.chunked_array([ids(3, 150, 151)])
    with pytest.raises(UserError) as caught:
        matrices(connect(parts), found, Experiment(train="true"))
    says = "captions lacks 1 of 2 parts, which hold 2 of the 3 selected images"
    assert (caught.value.what, caught.value.where) == (says, "captions")
    assert len(matrices(connect(parts), found[:1], Experiment(train="true"))["local"]) == 1


def test_an_image_with_two_rows_is_an_error(content, store):
    made = content()
    made.captions["image_id"][5] = made.captions["image_id"][4]
    with pytest.raises(UserError, match="captions has 2 rows for 1 images of part-00000"):
        matrices(store(made), pa.chunked_array([ids(4)]), Experiment(train="true"))


def test_parts_of_other_widths_are_an_error(content, tmp_path):
    parts, wide = content().write(tmp_path / "a"), content(width=16).write(tmp_path / "b")
    (paths,) = {tuple(parts["features"][1])}
    parts["features"] = ("features", [paths[0], wide["features"][1][1]])
    with pytest.raises(UserError, match="'global' has 16 numbers an image in part-00001"):
        matrices(connect(parts), pa.chunked_array([ids(3, 150)]), Experiment(train="true"))


def test_a_damaged_part_is_named(content, tmp_path):
    parts = content().write(tmp_path)
    connection = connect(parts)
    parts["captions"][1][0].write_bytes(b"PAR1")
    with pytest.raises(UserError, match="a cached part cannot be read") as caught:
        matrices(connection, pa.chunked_array([ids(3)]), Experiment(train="true"))
    assert caught.value.where == str(parts["captions"][1][0])
