"""Contents become members of parts, once, in the order of the listing."""

from collections import Counter

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.dag.graph import load
from pipeline.store.contents import asked, clean_parts
from pipeline.store.parts import Store, part_name
from pipeline.store.register import register, write_given


@pytest.fixture
def opened(write_dag, fake_models, tmp_path):
    """A DAG with two contents to a part, and its store, in which nothing is listed."""
    dag, store = load(str(write_dag(part_size=2, models=fake_models))), Store(tmp_path / "store")
    store.create()
    for name in ("listing", "images"):
        store.open_node(dag.nodes[name], dag.name)
    return dag, store


def put(dag, store, number, *ids, usable=None):
    """A part of the listing with files of these contents; None: one that cannot be read."""
    good = [image_id is not None and image_id in (usable or image_id) for image_id in ids]
    rows = {
        "uri": [f"/{number}-{row}.jpg" for row in range(len(ids))],
        "image_id": ids,
        "width": [number + 1 if one else None for one in good],
        "error": [None if one else "transient: no" for one in good],
    }
    name = part_name(number, rows["uri"])
    write_given(store, dag.nodes["listing"], name, tables.build("listing", rows))


def parts(dag, store):
    return [ids.to_pylist() for _, ids in clean_parts(dag, store)]


def test_each_content_is_a_member_once_in_the_order_of_the_listing(opened):
    dag, store = opened
    assert register(dag, store) == 0
    put(dag, store, 0, "a", "b", "a")
    put(dag, store, 1, "c", "b", None, "d")
    put(dag, store, 2, "a", None)
    put(dag, store, 3, "e")
    assert register(dag, store) == 5
    assert parts(dag, store) == [["a", "b"], ["c", "d"], ["e"]]
    (name, _), *_ = clean_parts(dag, store)
    rows = store.read(dag.nodes["images"].folder, name)
    assert rows["width"].to_pylist() == [1, 1] and rows["variant"].to_pylist() == ["clean"] * 2
    assert register(dag, store) == 0
    put(dag, store, 4, "f", "e", "g", "h")
    assert register(dag, store) == 3
    assert parts(dag, store) == [["a", "b"], ["c", "d"], ["e"], ["f", "g"], ["h"]]


@pytest.fixture
def listing_reads(opened, monkeypatch):
    """How often each part of the listing is read."""
    dag, _ = opened
    found, read = Counter(), Store.read

    def counted(self, folder, name, columns=None):
        found[name] += folder == dag.nodes["listing"].folder
        return read(self, folder, name, columns)

    monkeypatch.setattr(Store, "read", counted)
    return found


def test_the_listing_is_read_as_often_for_one_part_with_failures_as_for_many(opened, listing_reads):
    dag, store = opened
    put(dag, store, 0, *"abcdefgh", usable="-")
    assert register(dag, store) == 8
    listing_reads.clear()
    assert register(dag, store) == 0  # none of them can be used yet
    assert max(listing_reads.values()) == 2
    put(dag, store, 0, *"abcdefgh", usable="bdfh")
    listing_reads.clear()
    assert register(dag, store) == 0
    assert max(listing_reads.values()) == 2
    node = dag.nodes["images"]
    rows = pa.concat_tables(store.read(node.folder, path.name) for path in store.parts(node))
    assert rows["image_id"].to_pylist() == list("abcdefgh")
    usable = zip(rows["image_id"].to_pylist(), rows["error"].to_pylist(), strict=True)
    assert [image_id for image_id, error in usable if error is None] == list("bdfh")


def test_parts_that_are_gone_are_made_again_by_one_reading(opened, listing_reads):
    dag, store = opened
    put(dag, store, 0, *"abc")
    put(dag, store, 1, *"defgh")
    register(dag, store)
    captions = dag.nodes["captions"]
    store.open_node(captions, dag.name)
    for name, ids in clean_parts(dag, store):
        rows = tables.build("captions", {"image_id": ids, "caption": ["a cat"] * len(ids)})
        write_given(store, captions, name, rows)
    before = parts(dag, store)
    for path in list(store.parts(dag.nodes["images"]))[1:]:
        store.remove(dag.nodes["images"], path.name)
    listing_reads.clear()
    assert register(dag, store) == 0
    assert parts(dag, store) == before
    assert max(listing_reads.values()) == 2


def test_a_part_that_is_gone_is_made_again_though_some_of_its_images_are_no_more(opened):
    dag, store = opened
    put(dag, store, 0, *"abcd")
    register(dag, store)
    before, captions, images = parts(dag, store), dag.nodes["captions"], dag.nodes["images"]
    store.open_node(captions, dag.name)
    for name, ids in clean_parts(dag, store):
        rows = tables.build("captions", {"image_id": ids, "caption": ["a cat"] * len(ids)})
        write_given(store, captions, name, rows)
        store.remove(images, name)
    put(dag, store, 0, *"bcde")  # the same uris
    assert register(dag, store) == 1
    assert parts(dag, store) == [*before, ["e"]]
    first = store.read(images.folder, clean_parts(dag, store)[0][0])
    assert first["image_id"].to_pylist() == ["a", "b"] and first["width"].to_pylist() == [None, 1]
    assert [bool(error) for error in first["error"].to_pylist()] == [True, False]
    assert [one.ids.to_pylist() for one in asked(dag, store)] == [["b"], ["c", "d"], ["e"]]
    put(dag, store, 1, "a")
    assert register(dag, store) == 0
    first = store.read(images.folder, clean_parts(dag, store)[0][0])
    assert first["width"].to_pylist() == [2, 1] and first["error"].null_count == 2
