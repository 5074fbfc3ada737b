"""The listing mirrors the corpus; contents are met once, whatever becomes of their files."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.corpus.sources.found import FILES
from pipeline.corpus.sources.read import Reader
from pipeline.dag.graph import load
from pipeline.engine.queues.index import find, listing_queue
from pipeline.engine.task import execute
from pipeline.plan.foreseen import foreseen
from pipeline.stages import listing as stage
from pipeline.store.contents import asked
from pipeline.store.parts import Store, read_part
from pipeline.store.snapshot import compare, drop_outdated, summary
from tests.conftest import draw
from tests.helpers.stores import listed


@pytest.fixture
def opened(write_dag, fake_models, tmp_path):
    """`opened(override, …)`: the DAG, and its store."""
    path = write_dag(models=fake_models)

    def make(*overrides, store="store"):
        return load(str(path), list(overrides)), Store(tmp_path / store)

    return make


@pytest.fixture
def reads(monkeypatch):
    """The uris that are read."""
    seen, original = [], Reader.read
    monkeypatch.setattr(
        Reader, "read", lambda self, uri: (seen.append(uri), original(self, uri))[1]
    )
    return seen


def rows(dag, store, *columns):
    node = dag.nodes["listing"]
    found = [row for p in store.parts(node) for row in store.read(node.folder, p.name).to_pylist()]
    return sorted(tuple(row[name] for name in columns) for row in found)


def contents(dag, store):
    return sorted(image_id for one in asked(dag, store) for image_id in one.ids.to_pylist())


def described(dag, store):
    """What is said of the changes of a corpus, once they are listed."""
    changes = compare(dag, store, find(dag, store))
    said = drop_outdated(dag, store, changes)
    for task in listing_queue(dag, store, changes.new).tasks:
        execute(task)
    return summary(dag, store, changes, said)


def parts(dag, store):
    node = dag.nodes["images"]
    return {path.name: path.read_bytes() for path in store.parts(node)}


def test_what_has_not_changed_is_not_opened(opened, corpus, reads):
    dag, store = opened()
    listed(dag, store)
    assert len(reads) == 12
    for path in corpus.rglob("*.jpg"):
        path.chmod(0)
    assert not compare(dag, store, find(dag, store))
    listed(dag, store)
    assert len(reads) == 12


def test_new_changed_and_deleted_files_are_mirrored(opened, corpus, reads):
    dag, store = opened()
    listed(dag, store)
    reads.clear()
    folder = corpus / "test" / "gan" / "0_real"
    draw(folder / "new.jpg", 900)
    draw(folder / "1.jpg", 901)
    (folder / "2.jpg").unlink()
    changes = compare(dag, store, find(dag, store))
    assert (len(changes.new), changes.changed, len(changes.uris)) == (2, 1, 2)
    listed(dag, store)
    assert sorted(reads) == [str(folder / "1.jpg"), str(folder / "new.jpg")]
    fresh_dag, fresh = opened(store="fresh")
    listed(fresh_dag, fresh)
    columns = [name for name in stage.tables.schema("listing").names if name != "class_name"]
    assert rows(dag, store, *columns[:3]) == rows(fresh_dag, fresh, *columns[:3])
    assert contents(dag, store) == contents(fresh_dag, fresh)


def test_what_stays_of_a_part_keeps_what_its_footer_says(opened, corpus):
    dag, store = opened()
    listed(dag, store)
    node = dag.nodes["listing"]
    path, *_ = store.parts(node)
    table, facts = read_part(path)
    told = {**facts, "seconds_infer": "6.0", "libraries": "pillow 1", "host": "there"}
    store.write(node.folder, path.name, table, told)
    Path(table["uri"][0].as_py()).unlink()
    listed(dag, store)
    found = store.facts(path)
    assert (len(table), found["rows_in"]) == (5, "4")
    assert float(found["seconds_infer"]) == pytest.approx(4.8)
    assert (found["libraries"], found["host"]) == ("pillow 1", "there")
    assert store.read(node.folder, path.name).num_rows == 4  # whose sums are its own


def test_a_relabelled_or_renamed_file_keeps_its_content(opened, corpus):
    dag, store = opened()
    listed(dag, store)
    before = parts(dag, store)
    (corpus / "test/gan/1_fake/1.jpg").rename(corpus / "test/gan/0_real/moved.jpg")
    (corpus / "test" / "flow").rename(corpus / "test" / "stream")
    assert described(dag, store) == "+7 -7 ~0, 7 moved, 7 relabelled"
    assert {generator for (generator,) in rows(dag, store, "generator")} == {"gan", "stream"}
    assert [label for label, name in rows(dag, store, "label", "uri") if "moved" in name] == [0]
    assert parts(dag, store) == before and len(contents(dag, store)) == 12


def test_a_file_that_was_touched_is_where_it_was(opened, corpus):
    dag, store = opened()
    listed(dag, store)
    for path in (corpus / "test" / "gan" / "0_real").iterdir():
        os.utime(path, ns=(1, 1))
    assert described(dag, store) == "+0 -0 ~3"


def test_a_folder_that_says_nothing_relabels_nothing(opened, corpus):
    dag, store = opened("corpus.layout=unlabelled")
    listed(dag, store)
    (corpus / "test" / "gan" / "0_real").rename(corpus / "holiday")
    assert described(dag, store) == "+3 -3 ~0, 3 moved"


def test_what_was_moved_is_foreseen_by_its_size_and_time(opened, corpus):
    dag, store = opened()
    listed(dag, store)
    (corpus / "test" / "gan" / "1_fake").rename(corpus / "test" / "gan" / "0_real" / "more")
    draw(corpus / "test" / "gan" / "0_real" / "new.jpg", 900)
    rows, files, unknown = foreseen(dag, store, compare(dag, store, find(dag, store)))
    assert (len(rows), len(files)) == (12, 4)
    assert [uri.rpartition("/")[2] for uri in unknown["uri"].to_pylist()] == ["new.jpg"]
    assert sum("/0_real/more/" in uri for uri in rows["uri"].to_pylist()) == 3
    for name in ("one", "two"):  # as the one that is gone looks, and that can be only one of them
        shutil.copy2(corpus / "test" / "gan" / "0_real" / "0.jpg", corpus / f"{name}.jpg")
    (corpus / "test" / "gan" / "0_real" / "0.jpg").unlink()
    _, files, unknown = foreseen(dag, store, compare(dag, store, find(dag, store)))
    assert (len(files), len(unknown)) == (6, 2)
    listed(dag, store)
    assert len(contents(dag, store)) == 13


def test_a_file_that_could_not_be_read_is_tried_again(opened, corpus, monkeypatch):
    dag, store = opened()
    original = Reader.read

    def refusing(self, uri):
        if uri.endswith("gan/0_real/1.jpg"):
            raise PermissionError(13, "Permission denied", uri)
        return original(self, uri)

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "read", refusing)
        listed(dag, store)
    (error,) = [error for _, error in rows(dag, store, "uri", "error") if error]
    assert error.startswith("transient: file cannot be read: Permission denied")
    assert len(contents(dag, store)) == 11
    changes = compare(dag, store, find(dag, store))
    assert (changes.again, changes.changed, len(changes.new)) == (1, 0, 1)
    listed(dag, store)
    assert len(contents(dag, store)) == 12 and not compare(dag, store, find(dag, store))


def test_a_corrupt_file_that_is_mended_is_another_content(opened, corpus):
    path = corpus / "test" / "gan" / "0_real" / "1.jpg"
    good = path.read_bytes()
    path.write_bytes(b"no image")
    dag, store = opened()
    listed(dag, store)
    path.write_bytes(good)
    listed(dag, store)
    assert not [error for _, error in rows(dag, store, "uri", "error") if error]
    assert len(contents(dag, store)) == 12


def test_another_dataset_layout_or_limit_opens_no_file(opened, reads):
    dag, store = opened()
    listed(dag, store)
    before = parts(dag, store)
    reads.clear()
    for setting in ("dataset=other", "layout=unlabelled", "limit=4"):
        other, _ = opened(f"corpus.{setting}")
        listed(other, store)
        assert len(rows(other, store, "uri")) == (4 if "limit" in setting else 12)
    assert reads == [] and parts(dag, store) == before
    other, _ = opened("corpus.layout=unlabelled")
    assert {label for _, label in rows(other, store, "uri", "label")} == {None}


def test_a_sample_is_what_the_whole_goes_on_with(opened, reads):
    sample, store = opened("corpus.limit=4")
    listed(sample, store)
    folders = {uri.rpartition("/")[0] for (uri,) in rows(sample, store, "uri")}
    assert len(folders) == 4  # of every generator, reals and fakes
    few = contents(sample, store)
    whole, _ = opened()
    listed(whole, store)
    assert len(reads) == 12 and set(few) < set(contents(whole, store))
    assert contents(sample, store) == few


def test_another_root_with_the_same_contents_adds_no_part(opened, corpus, tmp_path):
    dag, store = opened()
    listed(dag, store)
    before = parts(dag, store)
    shutil.copytree(corpus / "test", tmp_path / "elsewhere" / "train")
    other, _ = opened(f"corpus.root={tmp_path / 'elsewhere'}")
    listed(other, store)
    assert parts(dag, store) == before and contents(other, store) == contents(dag, store)
    assert {uri.split("/")[-5] for one in asked(other, store) for uri in one.uris.to_pylist()} == {
        "elsewhere"
    }


def test_a_killed_listing_loses_what_was_under_way(opened, reads):
    dag, store = opened()
    store.create()
    store.open_node(dag.nodes["listing"], "small")
    tasks = listing_queue(dag, store, compare(dag, store, find(dag, store)).new).tasks
    execute(tasks[2])  # the last and shorter part was the only one to commit
    assert len(reads) == 2
    listed(dag, store)
    assert len(reads) == 12 and len(contents(dag, store)) == 12


def test_a_part_of_the_listing_that_is_lost_is_described_again(opened, corpus):
    dag, store = opened()
    listed(dag, store)
    before = contents(dag, store), parts(dag, store)
    store.parts(dag.nodes["listing"])[0].unlink()
    for number in range(12):
        draw(corpus / "test" / "gan" / "0_real" / f"more{number}.jpg", 700 + number)
    listed(dag, store)
    assert len(rows(dag, store, "uri")) == 24 and len(contents(dag, store)) == 24
    assert before[1].items() <= parts(dag, store).items()


def test_files_without_a_time_of_change_are_described_by_every_run(opened, reads):
    dag, store = opened()
    listed(dag, store)
    found = find(dag, store)
    at = FILES.get_field_index("stamp")
    unknown = stage.pa.nulls(len(found.files), stage.pa.string())
    files = found.files.set_column(at, FILES.field(at), unknown)
    changes = compare(dag, store, replace(found, files=files))
    assert len(changes.new) == changes.changed == 12


def test_the_first_place_by_name_is_where_a_content_is_read(opened, corpus):
    first = corpus / "test" / "gan" / "0_real" / "1.jpg"
    copy = corpus / "test" / "aaa" / "0_real" / "1.jpg"
    copy.parent.mkdir(parents=True)
    dag, store = opened()
    listed(dag, store)
    shutil.copy(first, copy)
    os.utime(copy)
    listed(dag, store)
    uris = [uri for one in asked(dag, store) for uri in one.uris.to_pylist()]
    assert str(copy) in uris and str(first) not in uris
    copy.unlink()
    listed(dag, store)
    uris = [uri for one in asked(dag, store) for uri in one.uris.to_pylist()]
    assert str(first) in uris and str(copy) not in uris


def locking(monkeypatch, name):
    real = os.scandir

    def scandir(path):
        if str(path).rstrip("/").endswith(name):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_listed_is_a_failed_row_and_its_files_stay(
    opened, corpus, reads, monkeypatch
):
    dag, store = opened()
    draw(corpus / "test" / "gan" / "0_real" / "more.jpg", 77)
    listed(dag, store)
    before = contents(dag, store)
    with monkeypatch.context() as patch:
        locking(patch, "gan/0_real")
        changes = listed(dag, store)
        assert len(changes.new) == 1 and not changes.outdated
        found = rows(dag, store, "uri", "image_id", "label", "error")
        uri = f"{corpus}/test/gan/0_real/"
        (row,) = [row for row in found if row[0] == uri]
        assert row[1:3] == (None, None)
        assert row[3].startswith("transient: folder cannot be listed: Permission denied: ")
        assert len(found) == 14 and contents(dag, store) == before
        again = compare(dag, store, find(dag, store))
        assert (again.again, len(again.new)) == (1, 1)
    del reads[:]
    changes = listed(dag, store)
    assert reads == [] and next(iter(changes.outdated.values())).to_pylist() == [uri]
    assert len(rows(dag, store, "uri")) == 13 and contents(dag, store) == before


def test_files_of_names_that_are_not_utf_8_are_rows_like_any_other(opened, corpus):
    dag, store = opened()
    folder = corpus / "test" / "gan" / "0_real"
    (folder / "0.jpg").rename(folder / os.fsdecode(b"caf\xe9.jpg"))
    shutil.copy(folder / "1.jpg", folder / "caf%E9.jpg")
    odd = corpus / "test" / os.fsdecode(b"g\xff") / "1_fake"
    odd.mkdir(parents=True)
    shutil.copy(folder / "2.jpg", odd)
    listed(dag, store)
    found = {row[0]: row[1:] for row in rows(dag, store, "uri", "label", "generator", "error")}
    place = f"{corpus}/test"
    assert found[f"file://{place}/gan/0_real/caf%E9.jpg"] == (0, "gan", None)
    assert found[f"{place}/gan/0_real/caf%E9.jpg"] == (0, "gan", None)
    assert found[f"file://{place}/g%FF/1_fake/2.jpg"] == (1, "g%FF", None)
    assert len(found) == 14 and not compare(dag, store, find(dag, store))
