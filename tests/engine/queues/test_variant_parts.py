"""Which parts variants get, that clean parts and fingerprints stay, and what plans say of them."""

import duckdb
import pyarrow.compute as pc
import pytest

from pipeline.dag.graph import load
from pipeline.engine.drive import drive
from pipeline.engine.executors import Inline
from pipeline.engine.queues import index, variant_parts
from pipeline.engine.run import totals
from pipeline.engine.task import execute
from pipeline.errors import UserError
from pipeline.plan.plan import plan
from pipeline.query import open_store
from pipeline.store.parts import Store, part_tag
from tests.conftest import draw
from tests.helpers.queues import Alone

JPEG = "corpus.variants={test: [jpeg_50]}"


@pytest.fixture
def opened(write_dag, corpus, fake_models, tmp_path):
    """`opened(override, …)`: the DAG, and a store in which the corpus is listed.

    Beside the twelve test images the corpus has two of the split train.
    """
    for number in range(2):
        draw(corpus / "train" / "gan" / "0_real" / f"{number}.jpg", 500 + number)
    path = write_dag(models=fake_models)

    def make(*overrides, store="store"):
        dag, store = load(str(path), list(overrides)), Store(tmp_path / store)
        store.create()
        for node in ("listing", "images"):
            store.open_node(dag.nodes[node], "small")
        files = index.new_files(dag, store, index.find(dag))
        for task in index.listing_queue(dag, store, files).tasks:
            execute(task)
        index.write_images(dag, store)
        return dag, store

    return make


def make(dag, store):
    """Makes the variants that are not there yet; returns their names."""
    lacking = variant_parts.missing(dag, store, variant_parts.wanted(dag, store))
    queue = Alone(variant_parts.VariantQueue(dag, store, lacking))
    assert drive(queue, Inline(), lambda receipt: None, lambda *why: pytest.fail(str(why))) == 0
    return [part.name for part in lacking]


def images(dag, store):
    node = dag.nodes["images"]
    paths = store.current(node, node, dag.corpus.tags)
    return {path.name: store.read(node.folder, path.name) for path in paths}


def test_adding_variants_changes_no_fingerprint_and_no_clean_part(opened):
    before, store = opened()
    clean = images(before, store)
    dag, _ = opened(JPEG)
    assert {name: node.fingerprint for name, node in dag.nodes.items()} == {
        name: node.fingerprint for name, node in before.nodes.items()
    }
    make(dag, store)
    assert images(before, store).keys() == clean.keys()  # a DAG without them does not see them
    found = images(dag, store)
    assert [name for name in found if not part_tag(name)] == list(clean)
    assert all(found[name].equals(clean[name]) for name in clean)


def test_the_shipped_dag_shares_every_node_with_the_demo():
    demo, robustness = load("demo"), load("demo-robustness")
    assert {name: node.folder for name, node in demo.nodes.items()} == {
        name: node.folder for name, node in robustness.nodes.items()
    }
    assert len(robustness.corpus.tags) == 9 and not demo.corpus.tags


def test_a_part_a_clean_part_that_has_images_of_the_split(opened):
    dag, store = opened(JPEG)
    assert len(images(dag, store)) == 3  # of 5, 5 and 4 images; the last two are of train
    made = make(dag, store)
    assert [name[:27] for name in made] == [f"part-0000{n}-test.jpeg_50.v1-" for n in range(3)]
    rows = images(dag, store)
    assert [rows[name].num_rows for name in made] == [5, 5, 2]
    assert variant_parts.missing(dag, store, variant_parts.wanted(dag, store)) == []
    train, _ = opened("corpus.variants={train: [jpeg_50]}")
    assert [rows.name[:10] for rows in variant_parts.wanted(train, store)] == ["part-00002"]
    every, _ = opened("corpus.variants={all: [jpeg_50, blur_1]}")
    assert [len(part.ids) for part in variant_parts.wanted(every, store)] == [5, 5, 5, 5, 4, 4]


def test_a_copy_counts_in_the_split_of_its_first_listing(opened, corpus):
    first = corpus / "test" / "gan" / "0_real" / "0.jpg"
    (corpus / "train" / "gan" / "0_real" / "0.jpg").write_bytes(first.read_bytes())
    dag, store = opened(JPEG)
    ids = [image_id for part in variant_parts.wanted(dag, store) for image_id in part.ids]
    assert len(ids) == len(set(ids)) == 12


def test_a_share_is_chosen_by_content(opened):
    whole, store = opened(JPEG)
    every = {i for part in variant_parts.wanted(whole, store) for i in part.ids}
    half, _ = opened(JPEG, "corpus.variant_share=0.5")
    parts = variant_parts.wanted(half, store)
    chosen = {i for part in parts for i in part.ids}
    assert chosen < every and len(chosen) > 1
    assert {part_tag(part.name) for part in parts} == {"test.jpeg_50.share_0.5.v1"}
    other, elsewhere = opened(JPEG, "corpus.variant_share=0.5", "corpus.part_size=3", store="b")
    assert {i for p in variant_parts.wanted(other, elsewhere) for i in p.ids} == chosen


def test_a_split_without_images_is_an_error_unless_a_sample_explains_it(opened):
    dag, store = opened("corpus.variants={val: [jpeg_50]}")
    with pytest.raises(UserError, match="no image is of the split 'val'"):
        variant_parts.without_images(dag, variant_parts.wanted(dag, store))
    with pytest.raises(UserError, match="no image is of the split 'val'"):
        plan(dag, store)
    dag, store = opened(JPEG, "corpus.variant_share=0.00001")
    lost = variant_parts.without_images(dag, variant_parts.wanted(dag, store))
    assert lost == ["test: jpeg_50"]


def test_a_killed_run_goes_on_with_the_parts_that_are_missing(opened):
    dag, store = opened("corpus.variants={test: figure4}")
    names = [part.name for part in variant_parts.wanted(dag, store)]
    queue = Alone(variant_parts.VariantQueue(dag, store, variant_parts.wanted(dag, store)))
    for _ in range(10):
        execute(queue.pop())
    kept = {p: p.stat().st_mtime_ns for p in store.parts(dag.nodes["images"])}
    assert make(dag, store) == names[10:]
    after = {p: p.stat().st_mtime_ns for p in store.parts(dag.nodes["images"])}
    assert kept.items() <= after.items()
    assert len(after) == 3 + 27
    other, whole = opened("corpus.variants={test: figure4}", store="whole")
    make(other, whole)
    one, two = images(dag, store), images(other, whole)
    assert list(one) == list(two) and all(one[name].equals(two[name]) for name in one)


def test_two_dags_on_one_store_see_their_own_variants_each(opened, tmp_path):
    one, store = opened(JPEG)
    two, _ = opened("corpus.variants={all: [blur_1]}")
    make(one, store)
    make(two, store)
    assert len(images(one, store)) == len(images(two, store)) == 6
    for dag, variant, count in ((one, "jpeg_50", 12), (two, "blur_1", 14)):
        sql = "select variant, count(*) from images group by variant order by variant"
        found = sorted([("clean", 14), (variant, count)])
        assert open_store.connect(dag, store).sql(sql).fetchall() == found
        open_store.save(dag, store, tmp_path / f"{variant}.duckdb")
        with duckdb.connect(tmp_path / f"{variant}.duckdb", read_only=True) as connection:
            assert connection.sql(sql).fetchall() == found
            counted = "select sum(rows_in) from receipts where node = 'images'"
            assert connection.sql(counted).fetchall() == [(14 + count,)]


def test_plan_says_how_much_is_to_do_and_why(opened):
    dag, store = opened(JPEG)
    steps = {step.node: step for step in plan(dag, store)}
    assert (steps["images"].parts_done, steps["images"].parts) == (3, 6)
    assert steps["images"].images == 12
    assert steps["images"].reason == "3 parts of variant jpeg_50 not computed yet"
    assert (steps["captions"].parts_done, steps["captions"].parts) == (0, 6)
    assert steps["captions"].images == 14 + 12
    make(dag, store)
    steps = {step.node: step for step in plan(dag, store)}
    assert (steps["images"].images, steps["images"].reason) == (0, "complete")
    more, _ = opened("corpus.variants={test: figure4}")
    steps = {step.node: step for step in plan(more, store)}
    assert steps["images"].images == 9 * 12 - 12
    why = "24 parts of variants noise_0.001, noise_0.005 and 6 more not computed yet"
    assert steps["images"].reason == why


def test_plan_knows_what_new_files_will_give_before_they_are_read(opened, write_dag, tmp_path):
    listed, store = opened(JPEG)
    after = {step.node: step for step in plan(listed, store)}
    before = {step.node: step for step in plan(listed, Store(tmp_path / "none"))}
    assert before["listing"].images == 14
    assert before["images"].images == 14 + 12
    for name in ("images", "captions"):
        assert before[name].parts == after[name].parts == 6
    assert before["captions"].images == after["captions"].images


def test_totals_reconcile_with_variants(opened):
    dag, store = opened(JPEG)
    listing, found = totals(dag, store, [dag.nodes["listing"], dag.nodes["images"]])
    assert (listing.rows_in, listing.rows_variants) == (14, 0)
    assert (found.parts_done, found.parts, found.rows_in) == (3, 6, 14)
    make(dag, store)
    _, found = totals(dag, store, [dag.nodes["listing"], dag.nodes["images"]])
    assert (found.parts_done, found.parts) == (6, 6)
    assert (found.rows_in, found.rows_variants, found.rows_ok, found.rows_failed) == (26, 12, 26, 0)


def test_an_image_on_which_perturbing_breaks_is_a_failed_row_that_knows_its_file(
    opened, monkeypatch
):
    from pipeline.stages import images as stage

    dag, store = opened(JPEG)
    bad = variant_parts.wanted(dag, store)[0].ids[2]
    original = stage.perturb

    def breaking(image, variant, content_id):
        if content_id == bad:
            raise RuntimeError("out of luck")
        return original(image, variant, content_id)

    monkeypatch.setattr(stage, "perturb", breaking)
    name = make(dag, store)[0]
    rows = images(dag, store)[name]
    (failed,) = rows.filter(pc.is_valid(rows["error"])).to_pylist()
    assert failed["image_id"] == f"{bad}-jpeg_50" and "out of luck" in failed["error"]
    assert failed["variant"] == "jpeg_50"
    assert failed["uri"].endswith(".jpg") and failed["sha256"].startswith(bad)
