from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from pipeline.query.questions import execute
from pipeline.shipped import folder
from pipeline.tables import COLUMNS

A, B, C, D, E = (letter * 32 for letter in "abcde")
BJ = f"{B}-jpeg_50"
# the views beyond one a table
WIDE = ["clean_images", "curves", "differences", "misalignment_by_image", "predictions", "runs"]
VIEWS = sorted((folder("sql") / "views").glob("*.sql"))
ADDED = {"runs": ["brier"]}  # columns that a run of another version has
EXTRA = {"images": ["content_id"]}  # columns that a view adds to those of its table


def distance(cosine):
    return pytest.approx(float(np.sqrt(2 - 2 * cosine)), abs=1e-6)


def approx(value):
    return pytest.approx(value, abs=1e-6)


def by_image(connection):
    rows = execute(connection, "select * from misalignment_by_image").to_pylist()
    assert len({row["image_id"] for row in rows}) == len(rows) == 6
    return {row["image_id"]: row for row in rows}


def test_there_is_a_view_for_every_table_and_these():
    assert {path.stem for path in VIEWS} == {*COLUMNS, *WIDE}


@pytest.mark.parametrize("path", VIEWS, ids=lambda path: path.stem)
def test_header_describes_exactly_the_columns(path, connection):
    lines = path.read_text().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("-- One row: ")
    header = lines[: lines.index("")]
    described = header[header.index("--") + 1 :]
    names = [line[3:].split()[0] for line in described if line[3] != " "]
    columns = execute(connection, f"from {path.stem}").column_names
    assert names == [column for column in columns if column not in ADDED.get(path.stem, [])]


@pytest.mark.parametrize("table", COLUMNS)
def test_columns_are_those_of_the_table(table, connection):
    names = execute(connection, f"from {table}").column_names
    assert sorted(names) == sorted([*COLUMNS[table], *EXTRA.get(table, [])])


@pytest.mark.parametrize(
    ("view", "rows"),
    [
        ("listing", 8),
        ("images", 6),
        ("captions", 6),
        ("objects", 5),
        ("regions", 5),
        ("image_embeddings", 6),
        ("text_embeddings", 4),
        ("object_embeddings", 5),
        ("misalignment", 11),
        ("features", 6),
    ],
)
def test_number_of_rows(view, rows, connection):
    assert execute(connection, f"select count(*) as n from {view}").to_pylist() == [{"n": rows}]


def test_placeholders_stay_in_the_store_and_out_of_the_view(connection):
    hidden = "select image_id, error from store.objects where object_no is null order by all"
    assert execute(connection, hidden).to_pylist() == [
        {"image_id": C, "error": None},
        {"image_id": D, "error": "no caption: cannot be decoded"},
    ]
    seen = execute(connection, "select image_id, phrase from objects order by all").to_pylist()
    assert [(row["image_id"], row["phrase"]) for row in seen] == [
        (A, "box"),
        (A, "red cup"),
        (B, "cup"),
        (BJ, "cup"),
        (E, "dog"),
    ]


def test_content_id_joins_a_variant_to_its_listing(connection):
    sql = """
        select variant, listing.uri from images
        join listing on images.content_id = listing.image_id
        where images.image_id like 'b%' order by variant
    """
    assert execute(connection, sql).to_pylist() == [
        {"variant": "clean", "uri": "progan/1_fake/b.png"},
        {"variant": "jpeg_50", "uri": "progan/1_fake/b.png"},
    ]


@pytest.mark.parametrize(
    ("view", "column"),
    [
        ("image_embeddings", "embedding"),
        ("text_embeddings", "embedding"),
        ("object_embeddings", "embedding"),
        ("features", "global"),
        ("features", "local"),
    ],
)
def test_vectors_are_float32_arrays_of_their_width(view, column, connection):
    data = execute(connection, f'select "{column}" as v, error from {view}')
    assert data.schema.field("v").type.list_size == 4
    assert data.schema.field("v").type.value_type == pa.float32()
    for row in data.to_pylist():
        assert row["v"] is None or sum(row["v"]) == 1
        assert row["v"] is None or row["error"] is None


def test_cosine_in_sql(connection):
    sql = """
        select array_cosine_similarity(a.embedding, b.embedding) as cosine
        from image_embeddings a, image_embeddings b
        where a.image_id = ? and b.image_id like 'a%'
    """.replace("?", f"'{A}'")
    assert execute(connection, sql).to_pylist() == [{"cosine": 1.0}]


def test_wide_view_of_an_image_with_objects(connection):
    row = by_image(connection)[A]
    assert row == {
        "image_id": A,
        "variant": "clean",
        "uri": "progan/0_real/a.jpg",
        "num_uris": 1,
        "label": 0,
        "generator": "progan",
        "dataset": "toy",
        "split": "train",
        "class_name": None,
        "disagreement": None,
        "caption": "a red cup on a box",
        "num_objects": 2,
        "cosine_global": approx(0.8),
        "distance_global": distance(0.8),
        "cosine_local": approx(0.7),
        "distance_local": approx((np.sqrt(0.2) + 1) / 2),
        "worst_phrase": "box",
        "worst_cosine": approx(0.5),
        "error": None,
    }


def test_wide_view_of_a_variant_has_the_labels_of_its_content(connection):
    row = by_image(connection)[BJ]
    assert (row["variant"], row["label"], row["generator"]) == ("jpeg_50", 1, "progan")
    assert (row["cosine_global"], row["cosine_local"]) == (approx(0.2), approx(0.1))


def test_wide_view_of_an_image_listed_twice_is_one_row(connection):
    row = by_image(connection)[C]
    assert (row["num_uris"], row["uri"]) == (2, "biggan/1_fake/c.png")
    assert (row["label"], row["dataset"]) == (1, "toy")
    assert (row["generator"], row["disagreement"]) == (None, "generator")
    assert (row["num_objects"], row["cosine_local"], row["worst_phrase"]) == (0, None, None)


def test_wide_view_of_contradicting_labels(connection):
    row = by_image(connection)[E]
    assert (row["label"], row["generator"]) == (None, "biggan")
    assert (row["num_uris"], row["disagreement"]) == (2, "label")


def test_wide_view_of_a_failed_image_keeps_its_row_and_its_first_error(connection):
    row = by_image(connection)[D]
    assert row["error"] == "cannot be decoded"
    assert row["label"] == 0
    assert row["num_objects"] is None and row["cosine_global"] is None


def test_runs_are_named_by_their_folders_and_dated_by_their_files(connection):
    sql = "select distinct experiment, run_id, saved from runs order by saved"
    assert [tuple(row.values()) for row in execute(connection, sql).to_pylist()] == [
        ("cross", "old", datetime(2026, 1, 2, 3, 4)),
        ("cross", "new", datetime(2026, 1, 2, 3, 5)),
    ]


def test_runs_with_other_columns_are_one_view(connection):
    sql = "select run_id, method, generator, seen, ap, accuracy, n, brier from runs order by all"
    assert [tuple(row.values()) for row in execute(connection, sql).to_pylist()] == [
        ("new", "head", "progan", True, 1.0, 0.5, 2, 0.25),
        ("old", "head", "biggan", False, 0.5, 0.0, 2, None),
        ("old", "head", "progan", True, 1.0, 1.0, 2, None),
        ("old", "probe", "biggan", False, 1.0, 0.5, 2, None),
        ("old", "probe", "progan", True, 0.9, 0.5, 2, None),
    ]


def test_means_of_a_run_stay_in_the_store_and_out_of_the_view(connection):
    sql = "select run_id, generator, ap, brier from store.runs where scope = 'mean'"
    assert execute(connection, sql).to_pylist() == [
        {"run_id": "new", "generator": None, "ap": 0.125, "brier": 0.25}
    ]


def test_curves_know_their_run(connection):
    sql = "select experiment, run_id, method, epoch, validation_ap from curves where best"
    assert [tuple(row.values()) for row in execute(connection, sql).to_pylist()] == [
        ("cross", "new", "head", 2, 0.75)
    ]


def test_predictions_know_their_run(connection):
    sql = "select experiment, run_id, method, image_id, probability from predictions order by all"
    rows = [tuple(row.values()) for row in execute(connection, sql).to_pylist()]
    assert len(rows) == 10
    assert rows[:2] == [("cross", "new", "head", A, 0.7), ("cross", "new", "head", B, 0.95)]
