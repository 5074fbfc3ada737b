"""What a corpus refuses is a failed row of its listing, with facts, and is asked for nowhere."""

import duckdb
import pytest
from PIL import Image

from pipeline.corpus.sources.read import Reader
from pipeline.dag.graph import load
from pipeline.errors import UserError
from pipeline.store.contents import asked, asked_sql
from pipeline.store.parts import Store
from tests.helpers.stores import listed

WIDER = "corpus.formats=[default, TGA]"


@pytest.fixture
def opened(write_dag, fake_models, corpus, tmp_path):
    """`opened(override, …)`: the DAG over twelve images, a TGA and a wide one, and its store."""
    folder = corpus / "test" / "gan" / "0_real"
    Image.new("RGB", (40, 30), "red").save(folder / "a.tga")
    Image.new("RGB", (2000, 500), "blue").save(folder / "wide.png")
    path = write_dag(models=fake_models)

    def make(*overrides):
        return load(str(path), list(overrides)), Store(tmp_path / "store")

    return make


def names(dag, store):
    """The files that are asked for."""
    return {uri for one in asked(dag, store) for uri in one.uris.to_pylist()}


def ends(names, end):
    return [name for name in names if name.endswith(end)]


def by_sql(dag, store):
    con = duckdb.connect()
    con.execute("create schema store")
    files = [str(path) for path in store.parts(dag.nodes["listing"])]
    con.execute(f"create view store.listing as from read_parquet({files})")
    return {row[0] for row in con.execute(asked_sql(dag)).fetchall()}


def said(dag, store, end):
    for path in store.parts(dag.nodes["listing"]):
        for row in store.read(dag.nodes["listing"].folder, path.name).to_pylist():
            if row["uri"].endswith(end):
                return row
    raise AssertionError(end)


def test_a_format_that_is_not_asked_for(opened):
    dag, store = opened()
    listed(dag, store)
    row = said(dag, store, "a.tga")
    assert row["error"] == "refused: format not read: TGA (to read it: corpus.formats)"
    assert (row["format"], row["width"], row["label"]) == ("TGA", 40, 0)
    assert len(names(dag, store)) == 13 and not ends(names(dag, store), "a.tga")
    assert row["image_id"] not in by_sql(dag, store) and len(by_sql(dag, store)) == 13


def test_more_formats_take_it_and_no_file_is_opened_for_that(opened, monkeypatch):
    dag, store = opened()
    listed(dag, store)
    monkeypatch.setattr(Reader, "read", None)
    wider, _ = opened(WIDER)
    listed(wider, store)
    assert said(wider, store, "a.tga")["error"] is None
    assert ends(names(wider, store) - names(dag, store), "a.tga")
    assert len(by_sql(wider, store)) == 14
    fewer, _ = opened("corpus.formats=[JPEG]")
    listed(fewer, store)
    assert names(fewer, store) == {name for name in names(dag, store) if name.endswith("jpg")}
    assert len(names(dag, store)) == 13  # each corpus as it was


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("megapixels=0.9", "2000x500 is over 0.9 megapixels"),
        ("bytes=1MB", "would take 4 MiB, over 1"),
    ],
)
def test_limits_are_a_matter_of_what_is_asked_for(opened, limit, words):
    dag, store = opened(f"corpus.limits.{limit}")
    listed(dag, store)
    assert words in said(dag, store, "wide.png")["error"]
    assert not ends(names(dag, store), "wide.png")
    usual, _ = opened()
    listed(usual, store)
    assert said(usual, store, "wide.png")["error"] is None
    assert ends(names(usual, store), "wide.png")


def test_seconds_are_no_other_listing(opened):
    assert opened()[0].nodes["listing"].fingerprint == (
        opened("corpus.limits.seconds=3")[0].nodes["listing"].fingerprint
    )


@pytest.mark.parametrize("wrong", ["formats=[PDF]", "limits.seconds=0", "limits.megapixel=3"])
def test_what_means_nothing_is_an_error(opened, wrong):
    with pytest.raises(UserError, match="corpus"):
        opened(f"corpus.{wrong}")
