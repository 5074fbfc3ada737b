import subprocess
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import open_store, tables
from pipeline.corpus.variants import tag
from pipeline.dag.graph import load
from pipeline.errors import UserError
from pipeline.query.open_store import connect, save
from pipeline.store.parts import Store, part_name, tagged

COLUMNS = {
    "listing": {"uri": ["a.jpg", "b.jpg"], "image_id": ["a", "b"]},
    "images": {"image_id": ["a", "b"], "variant": ["clean"] * 2},
    "captions": {"image_id": ["a", "b"], "caption": ["a cup", "fog"]},
}


@pytest.fixture
def dag(write_dag, fake_models):
    return write_dag(models=fake_models)


@pytest.fixture
def store(dag, tmp_path):
    """A store with one part of images and captions, in which one image is not asked for; a run."""
    graph, store = load(str(dag)), Store(tmp_path / "it's [1]* a=b?")
    store.create()
    for name, columns in COLUMNS.items():
        node = graph.nodes[name]
        store.open_node(node, graph.name)
        table = tables.build(name, columns)
        if name != "listing":
            other = {"image_id": ["z"], "caption": ["left"], "variant": ["clean"]}
            known = {key: other[key] for key in columns}
            table = pa.concat_tables([table, tables.build(name, known)])
        store.write(node.folder, part_name(0, ["a", "b"]), table, {"part": 0})
    run = store.root / "runs" / "cross" / "r1"
    run.mkdir(parents=True)
    figures = {"method": ["head"], "variant": ["clean"], "train_variant": ["clean"], "ap": [0.5]}
    figures["dag"] = ["small"]
    pq.write_table(pa.table(figures), run / "metrics.parquet")
    return store


def test_open_store_reads_the_present_parts_and_the_runs(dag, store):
    with open_store(dag, store.root) as connection:
        sql = "select image_id, caption from captions order by image_id"
        assert connection.sql(sql).fetchall() == [("a", "a cup"), ("b", "fog")]
        assert connection.sql("select run_id, ap from runs").fetchall() == [("r1", 0.5)]
        assert connection.sql("from captions").to_arrow_table().num_rows == 2


def test_of_variants_those_count_that_the_corpus_asks_for(dag, tmp_path):
    """Another DAG had both images perturbed; this one asks for those of its test split."""
    graph = load(str(dag), ["corpus.variants={test: [blur_1]}"])
    store = Store(tmp_path / "store")
    store.create()
    clean = part_name(0, ["a", "b"])
    for name, columns in COLUMNS.items():
        node = graph.nodes[name]
        store.open_node(node, graph.name)
        own = columns | ({"split": ["test", "train"]} if name == "listing" else {})
        store.write(node.folder, clean, tables.build(name, own), {"part": 0, "rows_in": 2})
        if name != "listing":
            own = {**columns, "image_id": ["a-blur_1", "b-blur_1"]}
            own |= {"variant": ["blur_1"] * 2} if name == "images" else {}
            table = tables.build(name, own)
            store.write(node.folder, tagged(clean, tag("blur_1")), table, {"part": 0, "rows_in": 2})
    with connect(graph, store) as connection:
        sql = "select image_id from captions order by all"
        assert connection.sql(sql).fetchall() == [("a",), ("a-blur_1",), ("b",)]
        sql = "select sum(rows_in), count(*) from receipts where node = 'captions'"
        assert connection.sql(sql).fetchall() == [(3, 2)]
        sql = "select image_id from store.asked_images"
        assert connection.sql(sql).fetchall() == [("a-blur_1",)]  # of the clean part all are


def test_open_store_is_confined(dag, store, tmp_path):
    with open_store(str(dag), str(store.root)) as connection:
        with pytest.raises(duckdb.PermissionException):
            connection.execute(f"copy (select 1) to '{tmp_path}/out.csv'")
        with pytest.raises(duckdb.PermissionException):
            connection.execute("from read_text(?)", [f"{store.root}/store.json"])


def test_overrides_are_those_of_the_command(dag, store):
    with open_store(dag, store.root, ["captions.num_beams=1"]) as connection:
        assert connection.sql("select count(*) from captions").fetchall() == [(0,)]


def test_a_store_without_the_dag_says_what_to_do(dag, tmp_path):
    with pytest.raises(UserError, match="the store has nothing of 'small' yet") as caught:
        open_store(dag, tmp_path / "empty")
    assert "item run" in caught.value.hint


COUNTS = """
    select
        (select count(*) from images) as images,
        (select count(*) from captions where error is null) as captions,
        (select count(*) from misalignment_by_image) as wide,
        (select count(*) from objects) as objects,
        (select count(*) from runs) as runs,
        (select count(*) from receipts where node = 'captions') as receipts,
        (select parts from nodes where node = 'captions') as parts
"""


def counts(path, sql=COUNTS):
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(sql).fetchone()


def test_a_database_of_views_keeps_up_with_the_store(dag, store, tmp_path):
    graph, out = load(str(dag)), tmp_path / "views.duckdb"
    save(graph, store, out)
    assert counts(out) == (2, 2, 2, 0, 1, 1, 1)  # what is not asked for is not counted
    for name, columns in COLUMNS.items():
        more = {**columns, "image_id": ["c", "d"]}
        path = part_name(1, ["c", "d"])
        store.write(graph.nodes[name].folder, path, tables.build(name, more), {"part": 1})
    run = store.root / "runs" / "cross" / "r2"
    run.mkdir()
    pq.write_table(pa.table({"method": ["head"], "ece": [0.1]}), run / "metrics.parquet")
    assert counts(out) == (4, 4, 4, 0, 2, 2, 2)
    with open_store(dag, store.root) as connection:
        assert connection.execute(COUNTS).fetchone() == counts(out)


def test_what_leaves_the_listing_stops_counting_in_a_database(dag, store, tmp_path):
    graph, out = load(str(dag)), tmp_path / "views.duckdb"
    save(graph, store, out)
    listing = tables.build("listing", {"uri": ["z.jpg"], "image_id": ["z"]})
    store.write(graph.nodes["listing"].folder, part_name(0, ["a", "b"]), listing, {"part": 0})
    assert counts(out, "select caption from captions") == ("left",)
    with open_store(dag, store.root) as connection:
        assert connection.sql("select caption from captions").fetchall() == [("left",)]


def test_a_database_is_attached_under_any_name(dag, store, tmp_path):
    out = tmp_path / "views.duckdb"
    save(load(str(dag)), store, out)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{out}' as other (read_only)")
        assert connection.execute("select count(*) from other.captions").fetchone() == (2,)


def test_a_database_has_the_macros(dag, store, tmp_path):
    out = tmp_path / "views.duckdb"
    save(load(str(dag)), store, out)
    assert counts(out, "from chosen_method(null, null, null)") == ("cross", "r1", "head", "clean")
    sql = "select image_id, caption from about_images(['b', 'none'])"
    assert counts(out, sql) == ("b", "fog")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{out}' as other (read_only)")
        connection.execute("use other")
        assert connection.execute("select method from chosen_method('r1', null, null)").fetchall()


def test_data_frames_go_out_and_with_unsafe_in(dag, store):
    sql = "select image_id, caption from captions order by image_id"
    with open_store(dag, store.root) as connection:
        arrow = connection.sql(sql).to_arrow_table()
        frame = connection.sql(sql).df()
        assert frame.to_dict("list") == arrow.to_pydict()
        polars = connection.sql(sql).pl()
        assert polars.to_dict(as_series=False) == arrow.to_pydict()
        with pytest.raises(duckdb.CatalogException):
            connection.sql("from arrow")
    with open_store(dag, store.root, unsafe=True) as connection:
        assert connection.sql("select count(*) from captions join arrow using (image_id)")


def test_a_database_replaces_the_one_before_or_leaves_it(dag, store, tmp_path):
    out = tmp_path / "views.duckdb"
    save(load(str(dag)), store, out)
    save(load(str(dag)), store, out)
    assert counts(out)[0] == 2
    assert [path.name for path in tmp_path.glob("*.duckdb")] == ["views.duckdb"]
    assert not list(tmp_path.glob(".tmp-*"))
    with pytest.raises(UserError, match="cannot be written") as caught:
        save(load(str(dag)), store, tmp_path / "none" / "views.duckdb")
    assert "--out" in caught.value.hint


def test_a_database_is_of_an_old_version_that_many_can_open(dag, store, tmp_path):
    save(load(str(dag)), store, tmp_path / "views.duckdb")
    sql = "select tags['storage_version'] from duckdb_databases() where not internal"
    assert counts(tmp_path / "views.duckdb", sql)[0].startswith("v1.3.0")


def test_a_database_is_not_called_as_its_schema(dag, store, tmp_path):
    with pytest.raises(UserError, match="'store' is a schema"):
        save(load(str(dag)), store, tmp_path / "store.duckdb")


def test_importing_the_package_is_light():
    code = (
        "import sys; from pipeline import open_store; "
        "print({'duckdb', 'pyarrow', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
