"""Contents become members of parts, once, in the order of the listing."""

import pytest

from pipeline import tables
from pipeline.dag.graph import load
from pipeline.store.contents import clean_parts
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


def put(dag, store, number, *ids):
    """A part of the listing with files of these contents; None: one that cannot be read."""
    rows = {
        "uri": [f"/{number}-{row}.jpg" for row in range(len(ids))],
        "image_id": ids,
        "width": [None if image_id is None else number + 1 for image_id in ids],
        "error": ["transient: no" if image_id is None else None for image_id in ids],
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
