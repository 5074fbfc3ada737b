"""What a corpus asks for, clean and in variants: parts and fingerprints that stay; plans."""

from dataclasses import astuple

import duckdb
import pyarrow.compute as pc
import pytest

from pipeline.dag.graph import load
from pipeline.engine.task import execute
from pipeline.errors import UserError
from pipeline.plan.plan import plan
from pipeline.query import open_store
from pipeline.store import contents
from pipeline.store.contents import asked, check_variants, outline, remember
from pipeline.store.parts import Store, part_tag
from pipeline.store.totals import totals
from tests.conftest import draw
from tests.helpers.stores import computed, listed, schedule

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
        listed(dag, store)
        return dag, store

    return make


def variants(dag, store):
    """What is asked for in variants."""
    return [one for one in asked(dag, store) if part_tag(one.part)]


def make(dag, store):
    """Makes the variants that are not there yet; returns the names of their parts."""
    before = {path.name for path in store.parts(dag.nodes["images"])}
    computed(dag, store, [dag.nodes["images"]])
    return [p.name for p in store.parts(dag.nodes["images"]) if p.name not in before]


def images(dag, store):
    node, there = dag.nodes["images"], {}
    for one in asked(dag, store):
        if store.has(node, one.part):
            there[one.part] = store.read(node.folder, one.part)
    return there


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
    assert len(robustness.corpus.splits_of) == 9 and not demo.corpus.splits_of


def test_a_part_a_clean_part_that_has_images_of_the_split(opened):
    dag, store = opened(JPEG)
    assert len(images(dag, store)) == 3  # of 5, 5 and 4 images; the last two are of train
    made = make(dag, store)
    clean = [path.name for path in store.parts(dag.nodes["images"]) if not part_tag(path.name)]
    assert made == [name.replace(".parquet", "-jpeg_50.v1.parquet") for name in clean]
    rows = images(dag, store)
    assert [rows[name].num_rows for name in made] == [5, 5, 2]
    assert make(dag, store) == []
    train, _ = opened("corpus.variants={train: [jpeg_50]}")
    assert [one.part[:10] for one in variants(train, store)] == ["part-00002"]
    every, _ = opened("corpus.variants={all: [jpeg_50, blur_1]}")
    assert sorted(len(one.ids) for one in variants(every, store)) == [4, 4, 5, 5, 5, 5]


def test_more_of_a_variant_adds_rows_to_its_parts(opened):
    dag, store = opened(JPEG)
    make(dag, store)
    every, _ = opened("corpus.variants={all: [jpeg_50]}")
    calls = count_perturbed(every, store)
    assert calls == 2  # those of train
    assert sum(table.num_rows for table in images(every, store).values()) == 2 * 14


def count_perturbed(dag, store):
    """How many images are perturbed when what is asked for is made."""
    from pipeline.stages import images as stage

    with pytest.MonkeyPatch.context() as patch:
        seen, original = [], stage.perturb
        patch.setattr(stage, "perturb", lambda *given: (seen.append(given), original(*given))[1])
        make(dag, store)
    return len(seen)


def test_a_copy_counts_in_the_splits_of_all_its_places(opened, corpus):
    first = corpus / "test" / "gan" / "0_real" / "0.jpg"
    (corpus / "train" / "gan" / "0_real" / "copy.jpg").write_bytes(first.read_bytes())
    dag, store = opened("corpus.variants={train: [jpeg_50]}")
    ids = [image_id for one in variants(dag, store) for image_id in one.ids.to_pylist()]
    assert len(ids) == len(set(ids)) == 3


def test_a_share_is_chosen_by_content(opened):
    def ids(dag, store):
        return {image_id for one in variants(dag, store) for image_id in one.ids.to_pylist()}

    whole, store = opened(JPEG)
    half, _ = opened(JPEG, "corpus.variant_share=0.5")
    chosen = ids(half, store)
    assert chosen < ids(whole, store) and len(chosen) > 1
    other, elsewhere = opened(JPEG, "corpus.variant_share=0.5", "corpus.part_size=3", store="b")
    assert ids(other, elsewhere) == chosen
    make(whole, store)
    sql = "select image_id from images where variant = 'jpeg_50'"
    assert {one for (one,) in open_store.connect(half, store).sql(sql).fetchall()} == chosen


def test_a_split_without_images_is_an_error_unless_a_sample_explains_it(opened):
    dag, store = opened("corpus.variants={val: [jpeg_50]}")
    with pytest.raises(UserError, match="no image is of the split 'val'"):
        check_variants(dag, asked(dag, store))
    with pytest.raises(UserError, match="no image is of the split 'val'"):
        plan(dag, store)
    dag, store = opened(JPEG, "corpus.variant_share=0.00001")
    lost = check_variants(dag, asked(dag, store))
    assert lost == ["test: jpeg_50"]


def test_a_killed_run_goes_on_with_the_parts_that_are_missing(opened):
    dag, store = opened("corpus.variants={test: figure4}")
    queue = schedule(dag, store, [dag.nodes["images"]])
    for _ in range(10):
        execute(queue.pop())
    kept = {p: p.stat().st_mtime_ns for p in store.parts(dag.nodes["images"])}
    assert len(make(dag, store)) == 17
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


def test_plan_says_how_much_is_to_do_and_why(opened):
    dag, store = opened(JPEG)
    steps = {step.node: step for step in plan(dag, store)}
    assert (steps["images"].parts_done, steps["images"].parts) == (3, 6)
    assert steps["images"].images == 12
    assert steps["images"].reason == "12 images in variant jpeg_50 not computed yet"
    assert (steps["captions"].parts_done, steps["captions"].parts) == (0, 6)
    assert steps["captions"].images == 14 + 12
    make(dag, store)
    steps = {step.node: step for step in plan(dag, store)}
    assert (steps["images"].images, steps["images"].reason) == (0, "complete")
    more, _ = opened("corpus.variants={test: figure4}")
    steps = {step.node: step for step in plan(more, store)}
    assert steps["images"].images == 9 * 12 - 12
    why = "96 images in variants noise_0.001, noise_0.005 and 6 more not computed yet"
    assert steps["images"].reason == why


def test_plan_knows_what_new_files_will_give_before_they_are_read(opened, write_dag, tmp_path):
    listed, store = opened(JPEG)
    after = {step.node: step for step in plan(listed, store)}
    before = {step.node: step for step in plan(listed, Store(tmp_path / "none"))}
    assert before["listing"].images == 14
    assert before["images"].images == 14 + 12
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
    bad = variants(dag, store)[0].ids[2].as_py()[:32]
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
    assert failed["sha256"].startswith(bad)


def test_the_answer_in_numbers_is_left_for_others_and_follows_what_changes(opened, corpus):
    dag, store = opened(JPEG)
    expected = [(one.part, one.variant, len(one.ids), one.members) for one in asked(dag, store)]
    assert [astuple(share) for share in outline(dag, store)] == expected
    remember(dag, store, asked(dag, store))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "asked", None)  # nobody works it out
        assert [astuple(share) for share in outline(dag, store)] == expected
    other, _ = opened("corpus.variants={train: [blur_1]}")
    assert {share.variant for share in outline(other, store)} == {"clean", "blur_1"}
    (corpus / "test" / "gan" / "0_real" / "0.jpg").unlink()
    listed(dag, store)
    clean = [share for share in outline(dag, store) if share.variant == "clean"]
    assert (sum(share.images for share in clean), sum(share.whole for share in clean)) == (13, 2)
