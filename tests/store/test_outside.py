"""No way leads into a store for what a user has written to a file."""

import os

import pytest

from pipeline.errors import UserError
from pipeline.store.outside import check_outside
from pipeline.store.parts import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with a folder of parts, one more that lies on another disk, and links to it."""
    cache = Store(tmp_path / "store")
    cache.create()
    (cache.root / "caption" / "0123").mkdir(parents=True)
    (tmp_path / "disk" / "0123").mkdir(parents=True)
    (cache.root / "features").symlink_to(tmp_path / "disk")
    (tmp_path / "link").symlink_to(cache.root)
    (tmp_path / "file.json").symlink_to(cache.root / "store.json")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return cache


@pytest.mark.parametrize(
    "out",
    [
        "{root}/store.json",
        "{root}/new.csv",
        "{root}/not/there/new.csv",
        "{root}/caption/0123/part-00000-00000000.parquet",
        "../store/x.csv",
        "./../here/../store/caption/x.csv",
        "../link/x.csv",
        "../link/caption/../x.csv",
        "../file.json",
        "../disk/x.csv",
        "../disk/0123/x.csv",
        "{root}",
    ],
)
def test_no_way_leads_into_the_store(store, out):
    with pytest.raises(UserError, match="--out would write into a store"):
        check_outside(store.root.__class__(out.format(root=store.root)), "../store")


def test_nor_into_another_store(store, tmp_path):
    with pytest.raises(UserError, match="into a store"):
        check_outside(store.root / "x.csv", tmp_path / "other")


def test_another_case_is_the_same_folder_where_the_disk_says_so(store, tmp_path, monkeypatch):
    """As on a disk that takes `STORE` for `store`: both names have one identity."""
    stat = os.stat
    swap = str(tmp_path / "STORE")
    monkeypatch.setattr(os, "stat", lambda p, **k: stat(str(p).replace(swap, str(store.root)), **k))
    with pytest.raises(UserError, match="into a store"):
        check_outside(tmp_path / "STORE" / "x.csv", store.root)


@pytest.mark.parametrize("out", ["x.csv", "../x.csv", "../storey/x.csv", "../store.csv", None])
def test_everything_else_is_free(store, out):
    check_outside(out and store.root.__class__(out), "../store")


@pytest.mark.parametrize(
    "address", ["s3://bucket/x", "gs://b", "memory://x", "S3://b/x", "hdfs://h/x"]
)
def test_an_address_is_no_folder(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    for given in (address, Path(address)):
        with pytest.raises(UserError, match="a store is a folder"):
            Store(given)
    with pytest.raises(UserError, match="is an address"):
        check_outside(Path(address), "store")
    assert not list(tmp_path.iterdir())
