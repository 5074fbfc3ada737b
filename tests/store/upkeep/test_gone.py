"""Parts that a run had left are missed when they are gone, and no others."""

import pytest

from pipeline.dag.graph import load
from pipeline.engine import run as runner
from pipeline.engine.progress import Reporter
from pipeline.store.parts import Store
from pipeline.store.upkeep.garbage import delete, unused
from pipeline.store.upkeep.gone import gone, warning
from pipeline.store.upkeep.retry import forget
from pipeline.store.upkeep.verify import missing
from tests.conftest import draw
from tests.helpers.cheap_stages import Cheap


@pytest.fixture
def opened(write_dag, fake_models):
    """`opened(override, …)`: the DAG with cheap stages."""
    path = write_dag(models=fake_models)
    return lambda *overrides: Cheap().dag(load(str(path), list(overrides)))


@pytest.fixture
def dag(opened):
    return opened()


@pytest.fixture
def store(tmp_path, dag):
    store = Store(tmp_path / "store")
    ran(dag, store)
    return store


def ran(dag, store, *names):
    nodes = [dag.nodes[name] for name in names or dag.nodes]
    runner.run(dag, store, nodes, runner.Options(inline=True), Reporter())


def taken(dag, store, node, number=0):
    """Deletes a part; returns its name."""
    path = store.parts(dag.nodes[node])[number]
    path.unlink()
    return path.name


def names(dag, store):
    return [(node.name, part) for node, part in gone(dag, store)]


def test_a_whole_store_misses_nothing(dag, store):
    assert (gone(dag, store), warning(dag, store)) == ([], None)


def test_parts_of_the_listing_that_are_gone_are_missed_until_they_are_listed_again(dag, store):
    lost = [taken(dag, store, "listing"), taken(dag, store, "listing")]
    assert names(dag, store) == [("listing", name) for name in lost]
    assert warning(dag, store) == (
        "2 parts of the listing are gone: `item run DAG` lists the files again"
    )
    (first, _) = missing(dag, store)
    assert first.path == store.folder(dag.nodes["listing"]) / lost[0]
    assert first.why == "it is gone, and a run had left it"
    ran(dag, store, "listing")
    assert (gone(dag, store), warning(dag, store)) == ([], None)


@pytest.mark.parametrize("node", ["images", "captions", "text_embeddings", "features"])
def test_a_computed_part_that_is_gone_is_missed_until_it_is_computed(dag, store, node):
    lost = taken(dag, store, node, 1)
    assert (names(dag, store), warning(dag, store)) == ([(node, lost)], None)
    ran(dag, store, "listing")  # a run that is not about this node
    assert names(dag, store) == ([(node, lost)] if node != "images" else [])
    ran(dag, store)
    assert gone(dag, store) == []


def test_files_that_go_and_come_make_no_part_missed(dag, store, corpus, monkeypatch):
    for path in (corpus / "test" / "flow").rglob("*.jpg"):  # all of the first part, and one more
        path.unlink()
    draw(corpus / "test" / "gan" / "0_real" / "new.jpg", 900)
    with monkeypatch.context() as patch:  # killed as soon as the old rows are taken out
        patch.setattr(runner, "take_over", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ran(dag, store)
    assert len(store.parts(dag.nodes["listing"])) == 2
    assert (gone(dag, store), warning(dag, store)) == ([], None)
    ran(dag, store)
    assert (gone(dag, store), warning(dag, store)) == ([], None)


def test_a_retry_makes_no_part_missed(dag, store, corpus):
    for path in (corpus / "test" / "flow").rglob("*.jpg"):
        path.write_bytes(b"no image")
    ran(dag, store)
    assert forget(dag, store, list(dag.nodes.values()), "%")["listing"] == 6
    assert (gone(dag, store), warning(dag, store)) == ([], None)


def test_what_gc_removes_is_not_missed(opened, store, corpus):
    dag, other = opened(), opened("nodes.regions.threshold=0.5")
    ran(other, store)
    kept = {node.folder: {""} for node in dag.nodes.values()}
    for path in (corpus / "test" / "flow").rglob("*.jpg"):
        path.unlink()
    ran(dag, store)
    removed = unused(store, kept)
    assert {one.folder for one in removed} > {other.nodes["features"].folder}
    for one in removed:
        delete(store, one)
    assert gone(dag, store) == gone(other, store) == []


def test_a_store_of_which_nothing_was_left_is_not_judged(dag, store):
    store.remember(dag.nodes["listing"], {})
    taken(dag, store, "listing")
    assert (gone(dag, store), warning(dag, store)) == ([], None)
