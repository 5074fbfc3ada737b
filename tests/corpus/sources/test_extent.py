"""How much there is to read, before anything is opened."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.corpus.sources.extent import all_here, bytes_of
from pipeline.corpus.sources.found import FILES
from pipeline.engine.queues import index
from tests.corpus.sources.conftest import tar_of
from tests.helpers.corpora import found_in


def files(*rows):
    """(uri, bytes) as FILES."""
    return pa.Table.from_pylist([{"uri": uri, "bytes": size} for uri, size in rows], schema=FILES)


def test_bytes_are_summed_and_a_table_on_this_machine_counts_once(tmp_path):
    assert bytes_of(files()) == 0
    assert bytes_of(files(("/a.jpg", 3), ("tar://b?at=512&bytes=4::/c.tar", 4))) == 7
    cells = [{"bytes": bytes(1000), "path": f"{n}.jpg"} for n in range(4)]
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet")
    found = found_in(str(tmp_path)).files
    assert found["bytes"].null_count == 4
    assert bytes_of(found) == (tmp_path / "a.parquet").stat().st_size


def test_what_nobody_says_the_bytes_of_is_taken_for_large(tmp_path):
    gone = f"parquet://0?row=0&column=0::{tmp_path / 'gone.parquet'}"
    far = "parquet://0?row=0&column=0::s3://bucket/a.parquet"
    assert bytes_of(files(("/a.jpg", None), (gone, None), (far, None))) == 3 * 2**22


@pytest.mark.parametrize(
    ("uri", "here"),
    [
        ("/a.jpg", True),
        ("file:///caf%E9.jpg", True),
        ("tar://a\nb?at=512&bytes=3::/a.tar", True),
        ("s3://bucket/a.jpg", False),
        ("zip://a?at=0&packed=3&bytes=3&crc=1::s3://bucket/a.zip", False),
    ],
)
def test_where_files_lie(uri, here):
    assert all_here(files((uri, 1))) is here
    assert all_here(files(("/other.jpg", 1), (uri, 1))) is here


def test_nothing_is_here(tmp_path):
    assert all_here(files())
    tar_of(tmp_path / "a.tar", {"a.jpg": b"abc"})
    assert all_here(found_in(str(tmp_path)).files)


def test_what_is_quick(monkeypatch):
    monkeypatch.setattr(index, "_HERE", 1000)
    monkeypatch.setattr(index, "_FILE", 100)
    monkeypatch.setattr(index, "_FAR", 50)
    assert index.is_quick(files(("/a", 400), ("/b", 400)))
    assert not index.is_quick(files(("/a", 400), ("/b", 401)))
    assert not index.is_quick(files(*[("/a", 0)] * 11))
    assert index.is_quick(files(("s3://a/b", 50))) and not index.is_quick(files(("s3://a/b", 51)))
