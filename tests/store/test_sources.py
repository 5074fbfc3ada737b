"""Corpora of archives and tables in a store: what changes there costs its own share."""

import csv
import json
import os
import tarfile

import pytest

from pipeline.corpus.sources.packed import archives
from pipeline.corpus.sources.read import Reader
from pipeline.dag.graph import load
from pipeline.engine.queues.index import find
from pipeline.store import snapshot
from pipeline.store.contents import asked
from pipeline.store.parts import Store
from pipeline.store.snapshot import compare
from tests.helpers.stores import listed


@pytest.fixture
def reads(monkeypatch):
    """The uris that are read."""
    seen, original = [], Reader.read
    monkeypatch.setattr(
        Reader, "read", lambda self, uri: (seen.append(uri), original(self, uri))[1]
    )
    return seen


@pytest.fixture
def walks(monkeypatch):
    """The archives that are looked through."""
    seen, original = [], archives.samples
    monkeypatch.setattr(
        archives,
        "samples",
        lambda archive, *given: (seen.append(archive.name), original(archive, *given))[1],
    )
    return seen


@pytest.fixture
def opened(tmp_path):
    """`opened(root, **corpus)`: a DAG of given captions over a root, and its store."""

    def make(root, **corpus):
        raw = {
            "name": "given",
            "corpus": {"root": str(root), "part_size": 5, **corpus},
            "nodes": {"captions": {"stage": "provided", "images": "images"}},
        }
        path = tmp_path / "given.yaml"
        path.write_text(json.dumps(raw))
        return load(str(path)), Store(tmp_path / "store")

    return make


def rows(dag, store, *columns):
    node = dag.nodes["listing"]
    found = [row for p in store.parts(node) for row in store.read(node.folder, p.name).to_pylist()]
    return sorted(tuple(row[name] for name in columns) for row in found)


def shards(corpus, folder):
    """The corpus's images as three shards of four."""
    folder.mkdir()
    paths = sorted(corpus.rglob("*.jpg"))
    for number in range(3):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as archive:
            for path in paths[number::3]:
                archive.add(path, path.relative_to(corpus))
    return folder


def test_unchanged_archives_are_neither_read_nor_looked_through(
    opened, corpus, tmp_path, reads, walks
):
    root = shards(corpus, tmp_path / "shards")
    dag, store = opened(root, layout="forensynths")
    listed(dag, store)
    assert len(reads) == 12 and sorted(walks) == ["00000.tar", "00001.tar", "00002.tar"]
    reads.clear(), walks.clear()
    assert not compare(dag, store, find(dag, store)) and not walks
    with tarfile.open(root / "00001.tar", "a") as archive:
        archive.add(corpus / "test/gan/0_real/0.jpg", "test/new/0_real/more.jpg")
    listed(dag, store)
    assert walks == ["00001.tar"] and len(reads) == 5
    (root / "00002.tar").unlink()
    listed(dag, store)
    assert len(reads) == 5
    fresh = Store(tmp_path / "fresh")
    listed(dag, fresh)
    assert rows(dag, store, "uri", "image_id", "generator") == rows(
        dag, fresh, "uri", "image_id", "generator"
    )


def test_a_damaged_index_is_made_anew(opened, corpus, tmp_path, walks):
    dag, store = opened(shards(corpus, tmp_path / "shards"), layout="forensynths")
    listed(dag, store)
    for path in store.folder(dag.nodes["listing"]).glob("_archive-*"):
        path.write_bytes(path.read_bytes()[:-9])
    walks.clear()
    listed(dag, store)
    assert len(walks) == 3
    walks.clear()
    assert not compare(dag, store, find(dag, store)) and not walks


def test_of_an_archive_that_cannot_be_listed_what_is_known_stays(opened, corpus, tmp_path):
    root = shards(corpus, tmp_path / "shards")
    dag, store = opened(root, layout="forensynths")
    listed(dag, store)
    whole = (root / "00001.tar").read_bytes()
    (root / "00001.tar").write_bytes(b"no tar" * 500)
    listed(dag, store)
    errors = [error for _, error in rows(dag, store, "uri", "error") if error]
    assert len(errors) == 1 and "the archive cannot be listed" in errors[0]
    assert (
        len(rows(dag, store, "uri")) == 13 and sum(len(one.ids) for one in asked(dag, store)) == 12
    )
    (root / "00001.tar").write_bytes(whole)
    listed(dag, store)
    assert len(rows(dag, store, "uri")) == 12
    assert not [error for _, error in rows(dag, store, "uri", "error") if error]


def manifest(corpus, path, changes=()):
    """A table of the corpus's images; `changes`: (row, column, value)."""
    found = [
        {"path": str(one), "label": one.parent.name[2:], "caption": f"a picture of {one.stem}"}
        for one in sorted(corpus.rglob("*.jpg"))
    ]
    for row, column, value in changes:
        found[row][column] = value
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return path


@pytest.mark.parametrize("at_a_time", [65_536, 5])
def test_other_words_of_a_table_open_no_image(
    opened, corpus, tmp_path, reads, at_a_time, monkeypatch
):
    monkeypatch.setattr(snapshot, "_ROWS", at_a_time)
    path = manifest(corpus, tmp_path / "list.csv")
    dag, store = opened(path)
    listed(dag, store)
    before = rows(dag, store, "uri", "label", "given_caption", "error")
    assert len(reads) == 12 and {label for _, label, *_ in before} == {0, 1}
    reads.clear()
    changed = [
        (1, "label", "fake"),
        (4, "caption", "another"),
        (5, "label", "cat"),
        (6, "label", ""),
    ]
    manifest(corpus, path, changed)
    changes = compare(dag, store, find(dag, store))
    assert (changes.said, changes.changed, changes.again, len(changes.new)) == (4, 0, 0, 4)
    listed(dag, store)
    assert not reads and not compare(dag, store, find(dag, store))
    fresh = Store(tmp_path / "fresh")
    listed(dag, fresh)
    now = rows(dag, store, "uri", "image_id", "label", "given_caption", "error", "width")
    assert now == rows(dag, fresh, "uri", "image_id", "label", "given_caption", "error", "width")
    manifest(corpus, path)
    reads.clear()
    listed(dag, store)
    assert rows(dag, store, "uri", "label", "given_caption", "error") == before and not reads


def test_a_file_that_a_table_names_and_that_changes_is_read_again(opened, corpus, tmp_path, reads):
    path = manifest(corpus, tmp_path / "list.csv")
    dag, store = opened(path)
    listed(dag, store)
    reads.clear()
    os.utime(corpus / "test/gan/0_real/0.jpg", ns=(1, 1))
    listed(dag, store)
    assert reads == [str(corpus / "test/gan/0_real/0.jpg")]


def test_captions_that_came_with_the_images(opened, corpus, tmp_path, item):
    path = manifest(corpus, tmp_path / "list.csv")
    dag, _ = opened(path)

    def run():
        done = item("run", dag.path, "--inline", "--store", tmp_path / "store", cwd=tmp_path)
        sql = "select uri, caption, c.error from captions c join listing using (image_id)"
        asked_ = item(
            "query", dag.path, sql, "--format", "json", "--store", tmp_path / "store", cwd=tmp_path
        )
        found = {row["uri"]: (row["caption"], row["error"]) for row in json.loads(asked_.stdout)}
        return done, found

    done, found = run()
    assert done.returncode == 0, done.stderr
    assert found == {str(p): (f"a picture of {p.stem}", None) for p in corpus.rglob("*.jpg")}
    first = str(sorted(corpus.rglob("*.jpg"))[0])
    manifest(corpus, path, [(0, "caption", "something else")])
    done, again = run()
    assert done.returncode == 0, done.stderr
    assert again == found | {first: ("something else", None)}
    manifest(corpus, path, [(0, "caption", "")])
    done, again = run()
    assert done.returncode == 1
    assert again == found | {first: (None, "no caption came with the image")}


def test_captions_are_asked_of_a_corpus_that_has_none(opened, corpus, tmp_path, item):
    dag, _ = opened(corpus)
    done = item("run", dag.path, "--inline", "--store", tmp_path / "store", cwd=tmp_path)
    assert done.returncode == 2
    assert "no image of the corpus came with a caption" in done.stderr
