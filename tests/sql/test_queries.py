from datetime import datetime

import pytest

from pipeline.query.questions import execute, named_queries
from tests.sql.conftest import BJ, FIRST, SECOND, A, B, C, D, E, answer, approx

NAMES = [
    "ablation",
    "by_caption_length",
    "by_class",
    "by_encoding",
    "by_generator",
    "by_image_size",
    "by_num_objects",
    "by_object_head",
    "by_variant",
    "calibration",
    "caption_confidence",
    "clearest_images",
    "cosine_histogram",
    "coverage",
    "distributions",
    "duplicates",
    "failed_rows",
    "failure_causes",
    "hardest_images",
    "hypothesis",
    "image_neighbours",
    "image_ranks",
    "image_verdicts",
    "label_balance",
    "misaligned_objects",
    "most_misaligned",
    "near_duplicates",
    "operating_points",
    "provenance",
    "regions_by_head",
    "repeated_captions",
    "run_disagreements",
    "run_errors",
    "run_means",
    "run_metrics",
    "run_robustness",
    "run_seeds",
    "separability",
    "storage",
    "thresholds",
    "throughput",
    "variant_drift",
    "variant_drift_images",
    "without_objects",
]


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
    about = [line for line in header[2:] if len(line) > 3 and line[3] != " "]
    described = [line.split()[1] for line in about if not line.startswith("-- param ")]
    columns = execute(connection, query.sql).column_names
    assert columns == [name for name in described if name in columns]


def test_by_generator(connection):
    columns = ("generator", "kind", "variant", "level", "images", "measured")
    assert answer(connection, "by_generator", *columns) == [
        ("biggan", "real", "clean", "global", 1, 0),
        ("biggan", "fake", "clean", "global", 1, 1),
        ("biggan", None, "clean", "global", 1, 1),  # listed both as real and as fake
        ("biggan", "real", "clean", "local", 1, 0),
        ("biggan", "fake", "clean", "local", 1, 0),
        ("biggan", None, "clean", "local", 1, 1),
        ("progan", "real", "clean", "global", 1, 1),
        ("progan", "fake", "clean", "global", 1, 1),
        ("progan", "fake", "jpeg_50", "global", 1, 1),
        ("progan", "real", "clean", "local", 1, 1),
        ("progan", "fake", "clean", "local", 1, 1),
        ("progan", "fake", "jpeg_50", "local", 1, 1),
        ("sdxl", "fake", "clean", "global", 1, 1),
        ("sdxl", "fake", "clean", "local", 1, 0),
    ]
    columns = ("cosine", "distance", "low", "high", "sd", "delta")
    no_interval = (None, None, None)  # of one image
    assert answer(connection, "by_generator", *columns) == [
        (None, None, *no_interval, None),
        (approx(0.6), approx(0.8**0.5), *no_interval, None),
        (approx(0.7), approx(0.6**0.5), *no_interval, None),
        (None, None, *no_interval, None),
        (None, None, *no_interval, None),
        (approx(0.6), approx(0.8**0.5), *no_interval, None),
        (approx(0.8), approx(0.4**0.5), *no_interval, None),
        (approx(0.4), approx(1.2**0.5), *no_interval, 1.0),
        (approx(0.2), approx(1.6**0.5), *no_interval, None),  # no real in this variant
        (approx(0.7), approx((0.2**0.5 + 1) / 2), *no_interval, None),
        (approx(0.3), approx(1.4**0.5), *no_interval, 1.0),
        (approx(0.1), approx(1.8**0.5), *no_interval, None),
        (approx(0.6), approx(0.8**0.5), *no_interval, None),
        (None, None, *no_interval, None),
    ]


def test_by_object_head(connection):
    columns = ("head", "objects", "images", "objects_real", "objects_fake")
    assert answer(connection, "by_object_head", *columns) == [
        ("cup", 2, 2, 1, 1),
        ("box", 1, 1, 1, 0),
        ("dog", 1, 1, 0, 0),  # its image is listed both as real and as fake
    ]
    columns = ("cosine", "distance", "cosine_real", "cosine_fake", "fake_less_real")
    mean = (0.2**0.5 + 1.4**0.5) / 2
    assert answer(connection, "by_object_head", *columns) == [
        (approx(0.6), approx(mean), approx(0.9), approx(0.3), approx(-0.6)),
        (approx(0.5), approx(1.0), approx(0.5), None, None),
        (approx(0.6), approx(0.8**0.5), None, None, None),
    ]


def test_most_misaligned(connection):
    columns = ("image_id", "kind", "generator", "caption", "cosine_global", "worst_phrase")
    assert answer(connection, "most_misaligned", *columns) == [
        (B, "fake", "progan", "a cup", approx(0.4), "cup"),
        (C, "fake", None, "fog", approx(0.6), None),
        (E, None, "biggan", "a dog", approx(0.7), "dog"),
        (A, "real", "progan", "a red cup on a box", approx(0.8), "box"),
    ]


def test_most_misaligned_of_a_generator(connection):
    given = ("generator=progan", "images=2")
    assert answer(connection, "most_misaligned", "image_id", given=given) == [(B,), (A,)]
    given += ("variant=null",)
    assert answer(connection, "most_misaligned", "image_id", given=given) == [(BJ,), (B,)]


def test_by_variant(connection):
    columns = ("variant", "kind", "images", "measured", "with_objects", "cosine_global")
    assert answer(connection, "by_variant", *columns) == [
        ("clean", "real", 2, 1, 1, approx(0.8)),
        ("clean", "fake", 2, 2, 1, approx(0.5)),
        ("clean", None, 1, 1, 1, approx(0.7)),  # listed both as real and as fake
        ("jpeg_50", "fake", 1, 1, 1, approx(0.2)),
    ]
    columns = ("variant", "kind", "images", "cosine_global_sd", "cosine_local")
    assert answer(connection, "by_variant", *columns, given=("generator=biggan",)) == [
        ("clean", "real", 1, None, None),
        ("clean", "fake", 1, None, None),
        ("clean", None, 1, None, approx(0.6)),
    ]


def test_variant_drift(connection):
    columns = ("variant", "kind", "images", "caption_changed", "objects_change")
    assert answer(connection, "variant_drift", *columns) == [("jpeg_50", "fake", 1, 0, 0)]
    columns = ("cosine_change", "cosine_change_sd", "cosine_moved", "local_change")
    changes = (approx(-0.2), None, approx(0.2), approx(-0.2))
    assert answer(connection, "variant_drift", *columns) == [changes]
    assert answer(connection, "variant_drift", *columns, given=("generator=biggan",)) == []


def test_variant_drift_images(connection):
    columns = ("image_id", "variant", "kind", "generator", "cosine_clean", "cosine")
    found = [(BJ, "jpeg_50", "fake", "progan", approx(0.4), approx(0.2))]
    name = "variant_drift_images"
    assert answer(connection, name, *columns) == found
    assert (
        answer(connection, name, *columns, given=("generator=progan", "variant=jpeg_50")) == found
    )
    for given in ("generator=biggan", "variant=blur_1", "images=0"):
        assert answer(connection, name, *columns, given=(given,)) == []
    columns = ("uri", "cosine_change", "caption_clean", "caption")
    said = ("progan/1_fake/b.png", approx(-0.2), "a cup", "a cup")
    assert answer(connection, name, *columns) == [said]


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


def test_provenance_tells_parts_by_other_versions_apart(connection, known):
    found = answer(connection, "provenance", "node", "libraries", "mixed", "parts", "rows_in")
    assert found[0] == ("listing", "item 1, torch 1", False, 1, 8)
    captions = [row[1:] for row in found if row[0] == "captions"]
    assert sorted(captions) == [
        ("item 1, torch 1", True, 1, len(FIRST)),
        ("item 1, torch 2", True, 1, len(SECOND)),
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


def test_storage(connection, known):
    columns = ("node", "parts", "rows_in")
    rows = answer(connection, "storage", *columns)
    assert [row[0] for row in rows] == list(known)
    assert rows[:2] == [("listing", 1, 8), ("images", 2, 6)]
    sizes = {node: [path.stat().st_size for path in parts] for node, (_, parts) in known.items()}
    total = sum(sum(parts) for parts in sizes.values())
    images = sizes["images"]
    columns = ("megabytes", "share", "bytes_per_row", "largest_part")
    assert answer(connection, "storage", *columns)[1] == (
        approx(sum(images) / 1e6),
        approx(sum(images) / total),
        approx(sum(images) / 6),
        approx(max(images) / 1e6),
    )


def test_failure_causes_counts_a_handed_down_failure_once(connection):
    columns = ("node", "error", "failures", "example")
    assert answer(connection, "failure_causes", *columns) == [
        ("listing", "permission denied", 1, "biggan/0_real/unreadable.jpg"),
        ("images", "cannot be decoded", 1, "biggan/0_real/d.jpg"),
    ]


def test_duplicates(connection):
    columns = ("image_id", "files", "labels_agree", "kinds", "generators", "splits", "uris")
    assert answer(connection, "duplicates", *columns) == [
        (
            E,
            2,
            False,
            "fake, real",
            "biggan",
            "test",
            ["biggan/0_real/e.jpg", "biggan/1_fake/e.jpg"],
        ),
        (C, 2, True, "fake", "biggan, sdxl", "test", ["biggan/1_fake/c.png", "sdxl/1_fake/c.png"]),
    ]


def test_distributions(connection):
    columns = ("generator", "level", "reals", "fakes", "real_share", "fake_share", "against")
    found = answer(connection, "distributions", *columns, given=("bins=2",))
    assert found == [
        ("biggan", "global", 0, 1, None, 1.0, "own"),  # its real has no cosine
        ("progan", "global", 0, 1, 0.0, 1.0, "own"),
        ("progan", "global", 1, 0, 1.0, 0.0, "own"),
        ("progan", "local", 0, 1, 0.0, 1.0, "own"),
        ("progan", "local", 1, 0, 1.0, 0.0, "own"),
        ("sdxl", "global", 1, 1, 1.0, 1.0, "all"),
        ("sdxl", "local", 1, 0, 1.0, None, "all"),
    ]
    edges = answer(connection, "distributions", "level", "bin_from", "bin_to", given=("bins=2",))
    assert edges[1:3] == [("global", step(0.4), step(0.6)), ("global", step(0.6), step(0.8))]
    assert edges[3:5] == [("local", step(0.3), step(0.5)), ("local", step(0.5), step(0.7))]


def step(cosine):
    """Cosines are told apart in steps of 2^-16."""
    return pytest.approx(cosine, abs=2**-15)


def test_image_ranks(connection):
    columns = ("level", "phrase", "cosine", "among_reals", "among_fakes", "reals", "fakes")
    found = answer(connection, "image_ranks", *columns, given=(f"image={B}",))
    # of the others a is real (0.8), c fake (0.6), d has no cosine, and e two labels
    assert found == [
        ("global", None, approx(0.4), 0.0, 0.0, 1, 1),
        ("local", None, approx(0.3), 0.0, None, 1, 0),
        ("object", "cup", approx(0.3), 0.0, None, 2, 0),
    ]
    found = answer(connection, "image_ranks", "mean_real", "mean_fake", given=(f"image={B}",))
    assert found == [(approx(0.8), approx(0.6)), (approx(0.7), None), (approx(0.7), None)]
    (first, *_) = answer(connection, "image_ranks", "among_fakes", given=(f"image={A}",))
    assert first == (1.0,)
    assert answer(connection, "image_ranks", "cosine", given=(f"image={D}",)) == []


def test_image_neighbours(connection):
    columns = ("space", "kind", "image_id", "distance", "generator")
    # vectors are unit vectors by their place in a part: a and c the same, b at a right angle
    assert answer(connection, "image_neighbours", *columns, given=(f"image={A}",)) == [
        ("D", "fake", C, approx(0), None),
        ("D", "fake", B, approx(2**0.5), "progan"),
        ("CLIP", "fake", C, approx(0), None),
        ("CLIP", "fake", B, approx(1), "progan"),
    ]
    nearest = answer(
        connection, "image_neighbours", "kind", "image_id", given=(f"image={B}", "neighbours=1")
    )
    assert nearest == [("real", A), ("fake", C)] * 2
    assert answer(connection, "image_neighbours", "kind", given=(f"image={D}",)) == []
