import os
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.errors import UserError
from pipeline.query.part_sql import Counted
from pipeline.query.questions import execute, named_queries
from pipeline.query.views import connect


def captions(folder, name, *ids, text="a cup"):
    path = folder / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"image_id": list(ids), "caption": [text] * len(ids)}
    pq.write_table(tables.build("captions", columns), path)
    return path


def rows(connection, sql):
    return execute(connection, sql).to_pylist()


def everything(connection):
    """Runs every view and every named query; their row counts."""
    names = [r["name"] for r in rows(connection, "show tables")]
    counts = {name: execute(connection, f'from "{name}"').num_rows for name in names}
    return counts | {n: execute(connection, q.sql).num_rows for n, q in named_queries().items()}


def test_no_nodes_at_all():
    counts = everything(connect({}))
    assert set(counts.values()) == {0}
    assert {*tables.COLUMNS, "misalignment_by_image", "nodes", "receipts"} <= set(counts)


def test_nodes_without_parts_are_typed_and_empty():
    connection = connect({name: (name, []) for name in tables.COLUMNS})
    counts = everything(connection)
    assert counts.pop("nodes") == counts.pop("coverage") == len(tables.COLUMNS)
    assert set(counts.values()) == {0}
    described = {r["column_name"]: r["column_type"] for r in rows(connection, "describe objects")}
    assert described["object_no"] == "INTEGER" and described["phrase"] == "VARCHAR"
    assert rows(
        connection,
        "select node, parts_expected, rows_in from coverage_of".replace(
            "coverage_of", f"({named_queries()['coverage'].sql})"
        ),
    )[1] == {"node": "images", "parts_expected": 0, "rows_in": 0}


def test_an_empty_vector_node_borrows_the_width_of_the_others(tmp_path):
    path = tmp_path / "part.parquet"
    columns = {"image_id": ["a"], "embedding": tables.vectors(np.eye(1, 3))}
    pq.write_table(tables.build("image_embeddings", columns, 3), path, use_dictionary=False)
    connection = connect(
        {
            "text_embeddings": ("text_embeddings", []),
            "image_embeddings": ("image_embeddings", [path]),
        }
    )
    sql = """
        select i.image_id, array_cosine_similarity(i.embedding, t.embedding) as cosine
        from image_embeddings i left join text_embeddings t on true
    """
    assert rows(connection, sql) == [{"image_id": "a", "cosine": None}]


def test_half_computed_store(tmp_path):
    ids = [["a" * 32], ["b" * 32]]
    images = []
    for number, members in enumerate(ids):
        path = tmp_path / f"images-{number}.parquet"
        columns = {"image_id": members, "variant": ["clean"]}
        pq.write_table(tables.build("images", columns), path)
        images.append(path)
    connection = connect(
        {
            "images": ("images", images),
            "captions": ("captions", [captions(tmp_path, "captions-0", *ids[0])]),
            "objects": ("objects", []),
        }
    )
    sql = "select image_id, caption, num_objects, cosine_global, error from misalignment_by_image"
    empty = {"num_objects": None, "cosine_global": None, "error": None}
    assert rows(connection, f"{sql} order by image_id") == [
        {"image_id": "a" * 32, "caption": "a cup", **empty},
        {"image_id": "b" * 32, "caption": None, **empty},
    ]
    sql = f"select node, parts, parts_expected from ({named_queries()['coverage'].sql})"
    assert [tuple(r.values()) for r in rows(connection, sql)] == [
        ("images", 2, 2),
        ("captions", 1, 2),
        ("objects", 0, 2),
    ]


def test_two_nodes_of_one_kind_are_two_views(tmp_path):
    connection = connect(
        {
            "captions": ("captions", [captions(tmp_path, "1", "a", text="a cup")]),
            "captions_b": ("captions", [captions(tmp_path, "2", "a", "b", text="a mug")]),
        }
    )
    assert rows(connection, "select caption from captions") == [{"caption": "a cup"}]
    assert rows(connection, "select distinct caption from captions_b") == [{"caption": "a mug"}]
    sql = "select b.caption from captions join captions_b b using (image_id)"
    assert rows(connection, sql) == [{"caption": "a mug"}]


def test_the_only_node_of_a_kind_carries_its_view_whatever_its_name(tmp_path):
    connection = connect({'blip: "large"': ("captions", [captions(tmp_path, "1", "a")])})
    for name in ("captions", "store.captions", '"blip: ""large"""'):
        assert rows(connection, f"select image_id from {name}") == [{"image_id": "a"}]


def test_several_nodes_and_none_called_so_is_an_error_only_when_asked(tmp_path):
    connection = connect(
        {
            "blip": ("captions", [captions(tmp_path, "1", "a")]),
            "git": ("captions", [captions(tmp_path, "2", "b")]),
        }
    )
    assert rows(connection, "select image_id from git") == [{"image_id": "b"}]
    for view in ("captions", "misalignment_by_image"):
        with pytest.raises(UserError, match=f"Table with name {view} does not exist") as caught:
            execute(connection, f"select count(*) from {view} where image_id = 'a'")
        assert "several nodes make captions (blip, git)" in caught.value.hint


def test_a_macro_of_a_table_that_several_nodes_make_says_so(tmp_path):
    path = tmp_path / "part.parquet"
    columns = {"image_id": ["a"], "level": ["global"], "cosine": [0.5]}
    pq.write_table(tables.build("misalignment", columns), path)
    connection = connect({name: ("misalignment", [path]) for name in ("clip", "siglip")})
    assert rows(connection, "select cosine from siglip") == [{"cosine": 0.5}]
    with pytest.raises(UserError, match="with name versus_reals does not exist") as caught:
        execute(connection, named_queries()["hypothesis"].sql)
    assert "several nodes make misalignment (clip, siglip)" in caught.value.hint


@pytest.mark.parametrize("name", ["misalignment_by_image", "receipts", "objects", "runs"])
def test_a_node_cannot_take_the_name_of_another_view(name):
    with pytest.raises(UserError, match=f"the node '{name}'") as caught:
        connect({name: ("captions", [])})
    assert "rename the node" in caught.value.hint


def test_of_some_parts_all_rows_count_and_of_others_those_asked_for(tmp_path):
    listing = tmp_path / "part-listing.parquet"
    columns = {"uri": ["x", "y", "z"], "image_id": ["a", "b", "c"], "split": ["no", "yes", "yes"]}
    pq.write_table(tables.build("listing", columns), listing)
    whole = captions(tmp_path, "part-whole", "a", "stray")
    other = captions(tmp_path, "part-other", "a", "b", "c", "stray")
    asked = "image_id in (select asked.image_id from store.asked_images as asked)"
    connection = connect(
        {"listing": ("listing", [listing]), "captions": ("captions", [whole, other])},
        counted={"captions": Counted(asked, {whole.name})},
        asked="select image_id from store.listing where split = 'yes'",
    )
    found = rows(connection, "select image_id from captions order by all")
    assert [row["image_id"] for row in found] == ["a", "b", "c", "stray"]
    sql = "select rows_in, rows_ok from receipts where node = 'captions' and rows_in is not null"
    assert rows(connection, sql) == [{"rows_in": 2, "rows_ok": 2}]  # the other has no receipt


def test_strange_paths(tmp_path):
    part = captions(tmp_path / "it's [1]* a=b?", "part", "a")
    connection = connect({"captions": ("captions", [part])})
    assert execute(connection, "from captions").column_names == list(tables.COLUMNS["captions"])
    assert rows(connection, "select node, bytes from receipts") == [
        {"node": "captions", "bytes": part.stat().st_size}
    ]


def test_relative_paths_stay_allowed(tmp_path, monkeypatch):
    part = captions(tmp_path, "part", "a")
    monkeypatch.chdir(tmp_path)
    connection = connect({"captions": ("captions", [part.relative_to(tmp_path)])})
    assert rows(connection, "select image_id from captions") == [{"image_id": "a"}]


def test_a_damaged_part_is_named(tmp_path):
    damaged = tmp_path / "part-00007-0123abcd.parquet"
    damaged.write_bytes(b"PAR1 and no more")
    for name in ("captions", "features"):
        with pytest.raises(UserError, match=r"part-00007-0123abcd\.parquet") as caught:
            connect({name: (name, [damaged])})
        assert "`item verify DAG --fix` sets aside" in caught.value.hint


def test_a_part_without_receipt_counts_as_unknown(tmp_path):
    connection = connect({"captions": ("captions", [captions(tmp_path, "part", "a")])})
    sql = f"select node, parts, rows_in, reconciles from ({named_queries()['coverage'].sql})"
    assert rows(connection, sql) == [
        {"node": "captions", "parts": 1, "rows_in": 0, "reconciles": None}
    ]


def test_a_thousand_parts(tmp_path):
    first = captions(tmp_path, "part-00000", "a")
    parts = [first]
    for number in range(1, 1_000):
        path = tmp_path / f"part-{number:05d}.parquet"
        os.link(first, path)
        parts.append(path)
    started = time.perf_counter()
    connection = connect({"captions": ("captions", parts)})
    assert rows(connection, "select count(*) as n from captions") == [{"n": 1_000}]
    assert rows(connection, "select count(*) as n from receipts") == [{"n": 1_000}]
    assert time.perf_counter() - started < 20


def run_folder(root, name):
    folder = root / "experiment" / name
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"method": ["head"], "ap": [0.5]}), folder / "metrics.parquet")
    return folder


def test_without_runs_their_views_are_typed_and_empty():
    described = rows(connect({}), "describe runs")
    assert {r["column_name"]: r["column_type"] for r in described}["saved"] == "TIMESTAMP"
    assert rows(connect({}), "select count(*) as n from predictions") == [{"n": 0}]


def test_a_run_has_the_columns_of_the_contract_even_if_its_file_lacks_them(tmp_path):
    connection = connect({}, [run_folder(tmp_path, "r1")])
    sql = "select experiment, run_id, method, ap, tpr from runs"
    expected = {"experiment": "experiment", "run_id": "r1", "method": "head", "ap": 0.5}
    assert rows(connection, sql) == [expected | {"tpr": None}]
    assert rows(connection, "select count(*) as n from predictions") == [{"n": 0}]


def test_only_the_tables_of_a_run_can_be_read(tmp_path):
    folder = run_folder(tmp_path, "r1")
    (folder / "experiment.json").write_text("{}")
    connection = connect({}, [folder])
    with pytest.raises(UserError, match="disabled by configuration"):
        execute(connection, f"from read_text('{folder}/experiment.json')")


def test_a_damaged_run_is_named(tmp_path):
    folder = run_folder(tmp_path, "r1")
    (folder / "metrics.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"r1/metrics\.parquet") as caught:
        connect({}, [folder])
    assert "delete the run's folder" in caught.value.hint


def test_importing_is_light():
    modules = "{'duckdb', 'pyarrow', 'numpy'}"
    code = f"import sys, pipeline.query.questions; print({modules} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
