import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.store.parts import (
    FORMAT,
    Store,
    clean_part,
    members,
    part_name,
    part_number,
    part_tag,
    tagged,
)
from tests.store.conftest import FACTS, embeddings


def test_part_names_tell_number_and_members():
    name = part_name(42, ["a", "b"])
    assert name == f"part-00042-{members(['a', 'b'])}.parquet"
    assert part_number(name) == 42
    assert members(["a", "b"]) != members(["b", "a"]) != members(["ab"])
    with pytest.raises(ValueError, match="not the name of a part"):
        part_number("part-00001-xyz.parquet.tmp")


def test_part_names_tell_their_tag():
    clean, tag = part_name(42, ["a", "b"]), "resize_0.5+jpeg_75.v1"
    name = tagged(clean, tag)
    assert name == f"part-00042-{members(['a', 'b'])}-{tag}.parquet"
    assert (part_number(name), part_tag(name), clean_part(name)) == (42, tag, clean)
    assert (part_tag(clean), tagged(clean, ""), clean_part(clean)) == ("", clean, clean)


def test_a_part_round_trips_with_its_facts(store, node):
    table = embeddings(["a", "b"])
    path, size = store.write(node.folder, part_name(0, ["a", "b"]), table, FACTS)
    assert path.stat().st_size == size
    assert store.read(node.folder, path.name).equals(table)
    facts = store.facts(path)
    assert facts["rows_in"] == "2" and float(facts["seconds_write"]) >= 0
    assert store.parts(node) == [path] and store.has(node, path.name)


def test_vectors_are_stored_plain_and_uncompressed_for_duckdb(store, node):
    path, _ = store.write(node.folder, part_name(0, ["a"]), embeddings(["a"]), FACTS)
    columns = pq.ParquetFile(path).metadata.row_group(0)
    vector = next(
        columns.column(i)
        for i in range(columns.num_columns)
        if columns.column(i).path_in_schema.startswith("embedding")
    )
    assert vector.compression == "UNCOMPRESSED"
    assert "RLE_DICTIONARY" not in vector.encodings
    assert "BYTE_STREAM_SPLIT" not in vector.encodings


def test_a_failed_write_leaves_nothing_and_says_what_to_do(store, node, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "disk")

    monkeypatch.setattr("pipeline.store.part_file.commit", full)
    with pytest.raises(UserError, match="No space left on device") as error:
        store.write(node.folder, part_name(0, ["a"]), embeddings(["a"]), FACTS)
    assert "finished parts are kept" in error.value.hint
    assert sorted(os.listdir(store.folder(node))) == ["_recipe.json"]


def test_recipe_is_readable_and_complete(store, node):
    recipe = json.loads((store.folder(node) / "_recipe.json").read_text())
    assert recipe["node"] == "image_embeddings" and recipe["stage"] == "embed_images"
    assert recipe["inputs"] == dict(node.recipe["inputs"])
    assert store.recipes("embed_images")[0]["fingerprint"] == node.fingerprint


def test_a_store_from_a_newer_version_is_refused(store):
    (store.root / "store.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match=r"a newer version \(format 99"):
        Store(store.root)
    for damaged in ("{", "{}", '{"format": "x"}', "[]"):
        (store.root / "store.json").write_text(damaged)
        with pytest.raises(UserError, match="damaged") as caught:
            Store(store.root)
        assert caught.value.hint.startswith(f'write {{"format": {FORMAT}}} into it')
    (store.root / "store.json").write_text(f'{{"format": {FORMAT}}}')
    assert Store(store.root).parts_of("none") == []


def test_a_damaged_part_is_named(store, node):
    path = store.folder(node) / part_name(0, ["a"])
    path.write_bytes(b"PAR1 and no more")
    for look in (lambda: store.read(node.folder, path.name), lambda: store.facts(path)):
        with pytest.raises(UserError, match="cannot be read") as error:
            look()
        assert error.value.where == str(path)


def test_a_part_that_lacks_a_column_is_named(store, node):
    store.write(node.folder, "part.parquet", pa.table({"image_id": ["a"]}), FACTS)
    assert store.read(node.folder, "part.parquet").schema.metadata is None
    with pytest.raises(UserError, match="it has no column norm") as caught:
        store.read(node.folder, "part.parquet", ["image_id", "norm"])
    assert caught.value.where.endswith("part.parquet")
