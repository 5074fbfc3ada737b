"""Images in Parquet: cells in any order, several columns, classes by name, damage."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.corpus.sources.packed import parquet
from pipeline.corpus.sources.read import read_bytes
from pipeline.errors import UserError
from tests.corpus.sources.conftest import known_images, parquet_of
from tests.helpers.corpora import found_in


@pytest.fixture(autouse=True)
def anew():
    """No file is open from another test."""
    parquet.forget()


def test_cells_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_READ", 4096)
    images = known_images(400)
    path = parquet_of(tmp_path / "a.parquet", images, row_group_size=70)
    uris = found_in(path).files["uri"].to_pylist()
    order = list(range(400))
    random.Random(0).shuffle(order)
    for numbers in (range(400), reversed(range(400)), order):
        assert all(read_bytes(uris[number]) == images[number].data for number in numbers)


def test_in_their_order_every_page_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_READ", 4096)
    images = known_images(400)
    path = parquet_of(tmp_path / "a.parquet", images, row_group_size=70)
    uris = found_in(path).files["uri"].to_pylist()
    begun = []
    original = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile,
        "iter_batches",
        lambda self, *given: begun.append(given) or original(self, *given),
    )
    for first, second in zip(uris[:200], uris[200:], strict=True):  # two tasks at a time
        read_bytes(first), read_bytes(second)
    assert len(begun) == 2
    parquet.forget()
    for first, second in zip(uris[64:128], uris[:64], strict=True):  # one is ahead of the other
        read_bytes(first), read_bytes(second)
    assert len(begun) == 3


def test_little_of_a_row_group_is_in_memory(tmp_path):
    cells = [bytes([i % 256]) * 2**16 for i in range(1024)]
    for name in "ab":
        pq.write_table(
            pa.table({"image": cells}),
            tmp_path / f"{name}.parquet",
            compression="none",
            use_dictionary=False,  # else it is a page of 64 MiB
            write_batch_size=16,
        )
    uris = found_in(tmp_path).files["uri"].to_pylist()
    before, most = pa.total_allocated_bytes(), 0
    for number in (*range(0, 1024, 8), *range(1024, 2048, 8)):
        assert read_bytes(uris[number]) == cells[number % 1024]
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 48 * 2**20


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_a_column_of_bytes_and_rows_without_any(tmp_path, kind):
    cells = pa.array([b"one", None, b"three"], pa.binary()).cast(kind)
    pq.write_table(
        pa.table({"jpeg": cells, "label": ["real", "fake", None]}), tmp_path / "a.parquet"
    )
    found = found_in(tmp_path / "a.parquet")
    uris = found.files["uri"].to_pylist()
    assert [read_bytes(uris[0]), read_bytes(uris[2])] == [b"one", b"three"]
    with pytest.raises(OSError, match="row 1 has no bytes"):
        read_bytes(uris[1])
    assert found.files["path"].to_pylist() == ["0", "1", "2"]
    assert found.files["label"].to_pylist() == [0, 1, None]


def test_several_columns_of_bytes_want_a_name(tmp_path):
    table = pa.table({"left": [b"l"], "right": [b"r"]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="several columns hold bytes: left, right"):
        found_in(tmp_path / "a.parquet")
    found = found_in(tmp_path / "a.parquet", columns={"image": "right"})
    assert read_bytes(found.files["uri"][0].as_py()) == b"r"


def test_classes_count_by_their_names_never_by_their_numbers(tmp_path):
    path = parquet_of(tmp_path / "a.parquet", known_images(4))  # 0 is fake there
    table = pq.read_table(path)
    assert table["label"].to_pylist() == [1, 0, 1, 0]
    assert found_in(path).files["label"].to_pylist() == [0, 1, 0, 1]
    cut = table.replace_schema_metadata({"huggingface": "{"})
    pq.write_table(cut, path)  # without names 1 is fake
    assert found_in(path).files["label"].to_pylist() == [1, 0, 1, 0]


def test_a_file_that_changed_or_is_damaged_is_an_oserror(tmp_path):
    path = parquet_of(tmp_path / "a.parquet", known_images(40))
    uris = found_in(path).files["uri"].to_pylist()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match="damaged, or has changed"):
        read_bytes(uris[0])
    parquet_of(path, known_images(3))
    with pytest.raises(OSError, match="has no row 39"):
        read_bytes(uris[39])
    path.unlink()
    parquet.forget()
    with pytest.raises(OSError, match="No such file"):
        read_bytes(uris[0])


def test_a_folder_of_them_with_splits_in_their_names(tmp_path):
    images = known_images()
    for split in ("train", "test"):
        some = [one for one in images if one.split == split]
        parquet_of(tmp_path / f"{split}-00000-of-00001.parquet", some)
    assert len(found_in(tmp_path).files) == len(images)
