"""The made-up store, small: its best head is as good as it says, and the package can read it."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score

from pipeline import open_store
from pipeline.query.questions import execute, named_queries
from tests.benchmarks.million_store import write
from tests.benchmarks.million_world import GENERATORS, LOCAL, Vocabulary, expected_ap

IMAGES, WIDTH = 12_000, 64


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("million")
    dag = write(folder, IMAGES, WIDTH, seed=3, processes=1, part_size=4_000)
    with open_store(str(dag), folder / "store") as connection:
        yield connection


def test_it_has_what_it_says(store):
    sql = """
        select
            (select count(*) from listing) as files,
            (select count(*) from images where variant = 'clean') as images,
            (select count(*) from images where variant = 'jpeg_50') as perturbed,
            (select count(*) from failures where node = 'features') as failed,
            (select avg(num_objects) from features) as objects,
            (select count(distinct generator) from listing) as generators
    """
    found = store.sql(sql).to_arrow_table().to_pylist()[0]
    assert found.pop("objects") == pytest.approx(3, abs=0.05)
    assert found.pop("perturbed") == pytest.approx(0.25 * 0.3 * IMAGES, rel=0.1)
    assert found == {"files": IMAGES + 12, "images": IMAGES, "failed": 1, "generators": 8}
    labels = store.sql("select label, count(distinct image_id) from listing group by all")
    assert all(count == pytest.approx(IMAGES / 2, rel=0.03) for _, count in labels.fetchall())


def matrix(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy().reshape(-1, WIDTH)


def test_the_best_head_has_the_expected_ap(store):
    sql = """
        select label, generator, features.global as x, features.local as y
        from clean_images inner join features using (image_id)
        where features.local is not null
    """
    rows = store.sql(sql).to_arrow_table()
    u, label = Vocabulary(WIDTH, 3).direction, rows["label"].to_numpy()
    x, y = matrix(rows["x"]) @ u, matrix(rows["y"]) @ u
    close = {"abs": 0.015}  # about three standard errors of 12,000 images
    assert average_precision_score(label, x) == pytest.approx(expected_ap(), **close)
    both = average_precision_score(label, x + LOCAL * y)
    assert both == pytest.approx(expected_ap(local=True), **close)
    assert expected_ap(GENERATORS[0]) < expected_ap() < expected_ap(GENERATORS[-1])


def test_every_named_query_has_an_answer(store):
    for name, query in named_queries().items():
        rows = execute(store, query.sql).num_rows
        of_runs = "runs" in query.sql or "chosen_method" in query.sql
        none_here = name == "near_duplicates" or "-- param image " in query.sql
        assert rows or of_runs or none_here, name


def test_the_same_seed_gives_the_same_store(store, tmp_path):
    sql = "select image_id, cosine_global, local from features order by image_id limit 50"
    dag = write(tmp_path, IMAGES, WIDTH, seed=3, processes=1, part_size=4_000)
    with open_store(str(dag), tmp_path / "store") as other:
        assert other.sql(sql).to_arrow_table().equals(store.sql(sql).to_arrow_table())
