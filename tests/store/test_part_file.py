"""A part's file: what is written is read, and nothing else ever is."""

import random
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.errors import UserError
from pipeline.store import part_file
from pipeline.store.part_file import Damaged
from pipeline.store.parts import read_part, write_part

WIDTH, ROWS, FLIPS = 4, 30, 2000


def _values(name, kind, rng):
    if kind == "embedding":
        vectors = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
        return tables.vectors(vectors, np.arange(ROWS) % 7 > 0)
    if name in ("image_id", "text_id", "uri", "sha256"):
        return [f"{row:032x}" for row in range(ROWS)]
    if pa.types.is_string(kind):
        return [None if row % 5 == 0 else f"{name} {row % 9}" for row in range(ROWS)]
    if pa.types.is_boolean(kind):
        return [row % 3 == 0 for row in range(ROWS)]
    values = rng.integers(0, 99, ROWS)
    return values.tolist() if pa.types.is_integer(kind) else (values / 7).tolist()


def made(table):
    """Some rows of one of the store's tables, nulls among them."""
    rng = np.random.default_rng(5)
    columns = {name: _values(name, kind, rng) for name, kind in tables.COLUMNS[table].items()}
    return tables.build(table, columns, WIDTH)


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "stage" / "fingerprint"
    folder.mkdir(parents=True)
    return folder / "part-00000-00000000.parquet"


@pytest.mark.parametrize("table", sorted(tables.COLUMNS))
def test_a_flipped_bit_anywhere_is_found_and_never_read(table, path):
    rows = made(table)
    part_file.write(path, rows, {"node": table, "rows_in": ROWS})
    assert part_file.verify(path)["node"] == table
    assert part_file.read(path)[0].equals(rows)
    whole, rng = path.read_bytes(), random.Random(7)
    for _ in range(FLIPS // len(tables.COLUMNS)):
        bit = rng.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(Damaged):
            part_file.verify(path)
        # Parquet's first four bytes, and columns that are not asked for, harm nobody
        with suppress(Damaged):
            assert part_file.read(path)[0].equals(rows)
        with suppress(Damaged):
            assert part_file.read(path, [rows.column_names[0]])[0].equals(rows.select([0]))


@pytest.mark.parametrize("rows", [0, 1, 20_000])
def test_any_number_of_rows_in_any_number_of_row_groups(rows, path):
    vectors = tables.vectors(np.ones((rows, WIDTH), np.float32), np.ones(rows, bool))
    table = pa.table({"image_id": [f"{i}" for i in range(rows)], "embedding": vectors})
    table = table.set_column(0, "image_id", table["image_id"].cast(pa.string()))
    size = part_file.write(path, table, {})
    assert size == path.stat().st_size
    part_file.verify(path)
    assert part_file.read(path)[0].equals(table)
    assert pq.ParquetFile(path).metadata.num_row_groups == max(1, -(-rows // 8192))
    assert pq.read_table(path, page_checksum_verification=True, partitioning=None).equals(table)


@pytest.mark.parametrize("cut", [0, 3, 11, 200, -1])
def test_what_was_cut_off_or_grew_is_damaged(cut, path):
    part_file.write(path, made("captions"), {})
    whole = path.read_bytes()
    for data in (whole[:cut], whole + b"0", whole[:40] + b"00" + whole[40:]):
        path.write_bytes(data)
        with pytest.raises(Damaged):
            part_file.verify(path)


def test_parquet_that_the_store_did_not_write_is_no_part(path):
    pq.write_table(made("captions"), path)
    for read in (part_file.read, part_file.facts, part_file.verify):
        with pytest.raises(Damaged, match="no checksums"):
            read(path)


def test_content_follows_the_rows_and_nothing_else(path):
    table = made("features")
    assert part_file.content(table) == part_file.content(pa.concat_tables([table[:9], table[9:]]))
    other = table.set_column(3, "num_objects", pa.array([1] * ROWS, table["num_objects"].type))
    assert part_file.content(table) != part_file.content(other)


@pytest.mark.parametrize("table", sorted(tables.COLUMNS))
def test_what_was_read_has_the_content_of_what_was_written(table, path):
    write_part(path, made(table), {})
    rows, facts = part_file.read(path)
    assert facts["commit"] == part_file.content(made(table)) == part_file.content(rows)


def test_a_part_in_the_place_of_another_is_named(path):
    write_part(path, made("captions"), {})
    elsewhere = path.parents[2] / "embed_images" / "fingerprint" / path.name
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"it is stage/fingerprint/part-00000.*, put here") as found:
        read_part(elsewhere)
    assert str(elsewhere) in found.value.where
    beside = path.with_name("part-00001-00000000.parquet")
    beside.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="put here"):
        read_part(beside)


def test_a_column_that_is_not_there_is_named(path):
    write_part(path, made("captions"), {})
    with pytest.raises(UserError, match="it has no column embedding"):
        read_part(path, ["image_id", "embedding"])


def test_a_slice_has_the_content_of_its_rows():
    columns = {"a": ["x", None, "y", "z", None], "b": [True, None, False, True, None]}
    whole = pa.table({**columns, "n": pa.array([1, None, 3, 4, 5], pa.int8())})
    for start in range(4):
        some = whole.slice(start, 2)
        alone = pa.Table.from_pylist(some.to_pylist(), whole.schema)
        assert part_file.content(some) == part_file.content(alone)
        assert part_file.content(some) != part_file.content(whole)
