import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import open_store, tables
from pipeline.dag import load
from pipeline.errors import UserError
from pipeline.store import Store, part_name

COLUMNS = {
    "images": {"image_id": ["a", "b"], "variant": ["clean"] * 2, "uri": ["a.jpg", "b.jpg"]},
    "captions": {"image_id": ["a", "b"], "caption": ["a cup", "fog"]},
}


@pytest.fixture
def dag(write_dag, fake_models):
    return write_dag(models=fake_models)


@pytest.fixture
def store(dag, tmp_path):
    """A store with one part of images and captions, one superseded part, and one run."""
    graph, store = load(str(dag)), Store(tmp_path / "cache")
    store.create()
    for name, columns in COLUMNS.items():
        node = graph.nodes[name]
        store.open_node(node, graph.name)
        table = tables.build(name, columns)
        store.write(node.folder, part_name(0, ["a", "b"]), table, {"part": 0})
    old = tables.build("captions", {"image_id": ["z"], "caption": ["superseded"]})
    store.write(graph.nodes["captions"].folder, part_name(0, ["z"]), old, {"part": 0})
    run = store.root / "runs" / "cross" / "r1"
    run.mkdir(parents=True)
    pq.write_table(pa.table({"method": ["head"], "ap": [0.5]}), run / "metrics.parquet")
    return store


def test_open_store_reads_the_present_parts_and_the_runs(dag, store):
    with open_store(dag, store.root) as connection:
        sql = "select image_id, caption from captions order by image_id"
        assert connection.sql(sql).fetchall() == [("a", "a cup"), ("b", "fog")]
        assert connection.sql("select run_id, ap from runs").fetchall() == [("r1", 0.5)]
        assert connection.sql("from captions").to_arrow_table().num_rows == 2


def test_open_store_is_confined(dag, store, tmp_path):
    import duckdb

    with open_store(str(dag), str(store.root)) as connection:
        with pytest.raises(duckdb.PermissionException):
            connection.execute(f"copy (select 1) to '{tmp_path}/out.csv'")
        with pytest.raises(duckdb.PermissionException):
            connection.execute(f"from read_text('{store.root}/store.json')")


def test_overrides_are_those_of_the_command(dag, store):
    with open_store(dag, store.root, ["captions.num_beams=1"]) as connection:
        assert connection.sql("select count(*) from captions").fetchall() == [(0,)]


def test_a_store_without_the_dag_says_what_to_do(dag, tmp_path):
    with pytest.raises(UserError, match="the store has nothing of 'small' yet") as caught:
        open_store(dag, tmp_path / "empty")
    assert "item run" in caught.value.hint


def test_importing_the_package_is_light():
    code = (
        "import sys; from pipeline import open_store; "
        "print({'duckdb', 'pyarrow', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
