"""`layout: auto`: recognised once, kept with the listing."""

import json
import shutil

import pytest

from pipeline.dag.graph import load
from pipeline.engine.queues.index import find
from pipeline.errors import UserError
from pipeline.store.layout import is_auto, open_listing, settled
from pipeline.store.parts import RECIPE, Store
from pipeline.store.snapshot import compare
from tests.conftest import draw
from tests.helpers.corpora import found_in
from tests.helpers.stores import listed


@pytest.fixture
def auto(write_dag, fake_models, tmp_path):
    """The DAG with `layout: auto`, and its store."""
    path = write_dag(models=fake_models)
    return load(str(path), ["corpus.layout=auto"]), Store(tmp_path / "store")


def test_auto_is_settled_and_kept_where_no_fingerprint_sees_it(auto, corpus):
    dag, store = auto
    made = settled(dag, store, find(dag, store))
    assert made.corpus.layout == made.nodes["listing"].parameters.layout == "forensynths"
    assert {n: one.fingerprint for n, one in made.nodes.items()} == {
        n: one.fingerprint for n, one in dag.nodes.items()
    }
    assert is_auto(dag) and is_auto(made)
    store.create()
    open_listing(made, store)
    recipe = json.loads((store.folder(dag.nodes["listing"]) / RECIPE).read_text())
    assert (recipe["auto"], recipe["parameters"]["layout"]) == ("forensynths", "auto")


def test_what_it_was_stays_whatever_the_corpus_becomes(auto, corpus):
    dag, store = auto
    made = settled(dag, store, find(dag, store))
    store.create()
    open_listing(made, store)
    listed(made, store)
    shutil.rmtree(corpus / "test")
    draw(corpus / "holiday" / "1.jpg", 5)
    again = settled(dag, store, found_in(corpus))
    assert again.corpus.layout == "forensynths"
    assert len(compare(again, store, find(again, store)).new) == 1
    other = Store(store.root.parent / "other")
    assert settled(dag, other, found_in(corpus)).corpus.layout == "unlabelled"


def test_a_listing_that_does_not_say_is_not_guessed_at(auto):
    dag, store = auto
    made = settled(dag, store, find(dag, store))
    listed(made, store)  # its recipe does not say: as if it had been lost
    with pytest.raises(UserError, match="not known any more") as caught:
        settled(dag, store, find(dag, store))
    assert caught.value.hint == "write it as `corpus.layout`"


def test_a_stated_layout_is_itself(write_dag, fake_models, tmp_path):
    dag = load(str(write_dag(models=fake_models)))
    store = Store(tmp_path / "store")
    assert settled(dag, store, find(dag, store)) is dag
    assert not is_auto(dag)
