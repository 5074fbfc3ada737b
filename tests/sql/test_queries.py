from datetime import datetime

import pytest

from pipeline.query import execute, named_queries, resolve

A, B, C, D, E = (letter * 32 for letter in "abcde")
BJ = f"{B}-jpeg_50"
NAMES = [
    "by_generator",
    "by_object_head",
    "coverage",
    "failed_rows",
    "label_balance",
    "most_misaligned",
    "throughput",
]


def answer(connection, name, *columns):
    rows = execute(connection, resolve(name)).to_pylist()
    return [tuple(row[column] for column in columns) for row in rows]


def approx(value):
    return pytest.approx(value, abs=1e-6)


def test_these_are_all():
    assert list(named_queries()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_headers_say_what_is_asked_and_what_a_row_is(name):
    query = named_queries()[name]
    assert query.question.endswith("?")
    assert query.row.startswith("A row is one ")
    assert query.path.name == f"{name}.sql"
    assert all(len(line) <= 80 for line in query.sql.splitlines())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "most_misaligned"])
def test_headers_describe_every_column(name, connection):
    query = named_queries()[name]
    header = query.sql.split("\n\n")[0].splitlines()
    described = [line.split()[1] for line in header[2:] if len(line) > 3 and line[3] != " "]
    assert set(execute(connection, query.sql).column_names) <= set(described)


def test_by_generator(connection):
    columns = ("generator", "kind", "variant", "images", "measured", "with_objects")
    assert answer(connection, "by_generator", *columns) == [
        ("biggan", "real", "clean", 2, 1, 1),
        ("biggan", "fake", "clean", 2, 2, 1),
        ("progan", "real", "clean", 1, 1, 1),
        ("progan", "fake", "clean", 1, 1, 1),
        ("progan", "fake", "jpeg_50", 1, 1, 1),
        ("sdxl", "fake", "clean", 1, 1, 0),
    ]
    columns = ("cosine_global", "cosine_global_sd", "cosine_local", "distance_local")
    assert answer(connection, "by_generator", *columns) == [
        (approx(0.7), None, approx(0.6), approx(0.8**0.5)),
        (approx(0.65), approx(0.005**0.5), approx(0.6), approx(0.8**0.5)),
        (approx(0.8), None, approx(0.7), approx((0.2**0.5 + 1) / 2)),
        (approx(0.4), None, approx(0.3), approx(1.4**0.5)),
        (approx(0.2), None, approx(0.1), approx(1.8**0.5)),
        (approx(0.6), None, None, None),
    ]
    distances = answer(connection, "by_generator", "distance_global")
    assert distances[-1] == (approx(0.8**0.5),)


def test_by_object_head(connection):
    columns = ("head", "objects", "images", "objects_real", "objects_fake")
    assert answer(connection, "by_object_head", *columns) == [
        ("cup", 3, 3, 1, 2),
        ("box", 1, 1, 1, 0),
        ("dog", 1, 1, 0, 0),  # its image is listed both as real and as fake
    ]
    columns = ("cosine", "distance", "cosine_real", "cosine_fake", "fake_less_real")
    mean = (0.2**0.5 + 1.4**0.5 + 1.8**0.5) / 3
    assert answer(connection, "by_object_head", *columns) == [
        (approx(1.3 / 3), approx(mean), approx(0.9), approx(0.2), approx(-0.7)),
        (approx(0.5), approx(1.0), approx(0.5), None, None),
        (approx(0.6), approx(0.8**0.5), None, None, None),
    ]


def test_most_misaligned(connection):
    columns = ("image_id", "kind", "generator", "caption", "cosine_global", "worst_phrase")
    assert answer(connection, "most_misaligned", *columns) == [
        (BJ, "fake", "progan", "a cup", approx(0.2), "cup"),
        (B, "fake", "progan", "a cup", approx(0.4), "cup"),
        (C, "fake", None, "fog", approx(0.6), None),
        (E, None, "biggan", "a dog", approx(0.7), "dog"),
        (A, "real", "progan", "a red cup on a box", approx(0.8), "box"),
    ]


def test_coverage(connection):
    columns = ("node", "parts", "parts_expected", "rows_in", "rows_ok", "rows_failed")
    below = ["captions", "objects", "regions", "image_embeddings"]
    assert answer(connection, "coverage", *columns) == [
        ("listing", 1, None, 8, 7, 1),
        ("images", 2, 2, 6, 5, 1),
        *((node, 2, 2, 6, 5, 1) for node in below),
        ("text_embeddings", 2, 2, 4, 4, 0),
        ("object_embeddings", 2, 2, 6, 5, 1),
        ("misalignment", 2, 2, 6, 5, 1),
        ("features", 2, 2, 6, 5, 1),
    ]
    shares = answer(connection, "coverage", "failed_share", "reconciles")
    assert shares[:2] == [(0.125, True), (approx(1 / 6), True)]


def test_failed_rows(connection):
    rows = answer(connection, "failed_rows", "node", "uri", "key", "object_no", "error")
    bad, real_d = "cannot be decoded", "biggan/0_real/d.jpg"
    no_caption = f"no caption: {bad}"
    unread = "biggan/0_real/unreadable.jpg"
    assert rows == [
        ("listing", unread, unread, None, "permission denied"),
        ("images", real_d, D, None, bad),
        ("captions", real_d, D, None, bad),
        ("objects", real_d, D, None, no_caption),
        ("regions", real_d, D, None, no_caption),
        ("image_embeddings", real_d, D, None, bad),
        ("object_embeddings", real_d, D, None, no_caption),
        ("misalignment", real_d, D, None, no_caption),
        ("features", real_d, D, None, no_caption),
    ]


def test_throughput(connection, known):
    columns = ("node", "stage", "parts", "hosts", "rows_in", "seconds", "rows_per_second")
    rows = answer(connection, "throughput", *columns)
    assert [row[0] for row in rows] == list(known)
    assert rows[0] == ("listing", "stage_listing", 1, 1, 8, 3.5, approx(8 / 3.5))
    assert rows[2] == ("captions", "stage_captions", 2, 2, 6, 7.0, approx(6 / 7))
    columns = ("seconds_read", "seconds_infer", "seconds_write", "last_finished")
    rows = answer(connection, "throughput", *columns)
    assert rows[2] == (2.0, 4.0, 1.0, datetime(2026, 1, 2, 3, 4, 1))
    sizes = [sum(path.stat().st_size for path in parts) / 1e6 for _, parts in known.values()]
    assert answer(connection, "throughput", "megabytes") == [(approx(size),) for size in sizes]


def test_label_balance(connection):
    columns = ("dataset", "split", "generator", "files", "unreadable", "images", "duplicates")
    assert answer(connection, "label_balance", *columns) == [
        ("toy", "test", "biggan", 5, 1, 3, 1),
        ("toy", "test", "sdxl", 1, 0, 1, 0),
        ("toy", "train", "progan", 2, 0, 2, 0),
    ]
    columns = ("real", "fake", "unlabelled", "fake_share")
    assert answer(connection, "label_balance", *columns) == [
        (2, 2, 0, 0.5),
        (0, 1, 0, 1.0),
        (1, 1, 0, 0.5),
    ]
