"""The macros, on the known store."""

import random

import duckdb
import pytest

from pipeline.corpus import variants
from pipeline.query.questions import execute
from pipeline.shipped import folder
from tests.sql.conftest import BJ, A, B, C, D, approx, distance


def about(connection, *ids):
    rows = execute(connection, f"from about_images({list(ids)}) order by image_id").to_pylist()
    return {row["image_id"]: row for row in rows}


def test_about_images_is_the_wide_view_and_the_objects(connection):
    found = about(connection, A, BJ, C, D, "unknown", A)
    wide = execute(connection, "from misalignment_by_image").to_pylist()
    wide = {row["image_id"]: row for row in wide}
    assert set(found) == {A, BJ, C, D}
    for image_id, row in found.items():
        own = {name: value for name, value in row.items() if name != "objects"}
        assert own == {name: wide[image_id][name] for name in own}
    assert found[A]["objects"] == "red cup 0.90, box 0.50"
    assert found[A]["distance_global"] == approx(distance(0.8))
    assert (found[BJ]["label"], found[BJ]["objects"]) == (1, "cup 0.10")
    assert (found[C]["generator"], found[C]["objects"]) == (None, None)
    assert (found[D]["label"], found[D]["cosine_global"]) == (0, None)


def test_about_no_images(connection):
    sql = "from about_images((select list(image_id) from captions where false))"
    assert execute(connection, sql).num_rows == 0


def test_objects_of_images(connection):
    sql = f"from objects_of({[A, B, C, 'unknown']})"
    found = execute(connection, sql).to_pylist()
    places = [(row["image_id"], row["object_no"], row["phrase"], row["cosine"]) for row in found]
    assert places == [
        (A, 0, "red cup", approx(0.9)),
        (A, 1, "box", approx(0.5)),
        (B, 0, "cup", approx(0.3)),
    ]
    boxes = [tuple(row[key] for key in ("x0", "y0", "x1", "y1")) for row in found]
    assert boxes == [(0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 0.5, 0.5)]


def test_chosen_method(connection):
    sql = "select run_id, method from chosen_method({}, {}, null)"
    assert execute(connection, sql.format("null", "null")).to_pylist() == [
        {"run_id": "new", "method": "head"}
    ]
    best = execute(connection, sql.format("'old'", "null")).to_pylist()
    assert best == [{"run_id": "old", "method": "probe"}]
    assert execute(connection, sql.format("'old'", "'none'")).num_rows == 0


def test_a_method_is_chosen_on_validation_images_and_never_by_the_test():
    connection = duckdb.connect()
    connection.execute(
        "create table runs as select * from (values "
        "('x', 'r', now()::timestamp, 'lucky', 'clean', 'clean', 0.99, 0.7, true), "
        "('x', 'r', now()::timestamp, 'sound', 'clean', 'clean', 0.60, 0.9, true)) "
        "as t(experiment, run_id, saved, method, variant, train_variant, ap, validation_ap, "
        "current)"
    )
    connection.execute((folder("sql") / "macros" / "chosen_method.sql").read_text())
    found = connection.sql("select method from chosen_method(null, null, null)").fetchall()
    assert found == [("sound",)]


def test_clean_images_agree_with_the_wide_view(connection):
    clean = execute(connection, "from clean_images").to_pylist()
    sql = "from misalignment_by_image where variant = 'clean'"
    wide = {row["image_id"]: row for row in execute(connection, sql).to_pylist()}
    assert len(clean) == len(wide) == 5
    for row in clean:
        other = wide[row["image_id"]]
        for name in row.keys() & other.keys() - {"num_objects"}:
            assert row[name] == other[name], name
        if row["cosine_global"] is not None:
            assert row["num_objects"] == other["num_objects"]
    sql = "select width, format, jpeg_quality, num_tokens, mean_logprob from clean_images"
    row = execute(connection, f"{sql} where image_id = '{A}'").to_pylist()[0]
    assert row.pop("mean_logprob") == approx(-0.1)
    assert row == {"width": 64, "format": "JPEG", "jpeg_quality": 90, "num_tokens": 6}


@pytest.mark.parametrize("seed", range(3))
def test_severity_orders_variants_as_the_tables_do(connection, seed):
    names = ["clean", *variants.PRESETS["figure4"], "jpeg_100", "jpeg_5", "square_128"]
    names += ["resize_0.5", "crop_0.9", "blur_10", "blur_2+jpeg_75", "blur_2+jpeg_100"]
    random.Random(seed).shuffle(names)
    sql = f"select name from (select unnest({names}) as name) order by severity(name)"
    rows = execute(connection, sql).to_pylist()
    assert [row["name"] for row in rows] == variants.order(names)
