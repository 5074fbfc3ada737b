import os

import pytest

from pipeline import tables
from pipeline.errors import UserError
from pipeline.store.parts import part_name, tagged
from pipeline.store.run_folders import aside, partial
from pipeline.store.upkeep.garbage import delete, left_over, unused
from tests.store.conftest import FACTS, embeddings


def test_unused_nodes_are_listed_and_deleted(store, node):
    store.write(node.folder, part_name(0, ["a"]), embeddings(["a"]), FACTS)
    assert unused(store, {node.folder: set()}) == []
    (found,) = unused(store, {})
    folder = found.folder
    assert (folder, found.parts, found.about) == (node.folder, None, "image_embeddings of small")
    assert found.bytes > 100
    (store.root / folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="unknown file"):
        delete(store, found)
    assert (store.root / folder / "notes.txt").read_text() == "mine"
    (store.root / folder / "notes.txt").unlink()
    delete(store, found)
    assert not (store.root / folder).exists()


def test_unused_variants_are_listed_and_deleted_without_the_rest(store, node):
    clean = [part_name(number, ["a"]) for number in (0, 1)]
    names = [clean[0], tagged(clean[0], "jpeg_50.v1")]
    names += [tagged(name, "blur_1.v1") for name in clean]
    for name in names:
        store.write(node.folder, name, embeddings(["a"]), FACTS)
    tags = {"jpeg_50.v1", "blur_1.v1"}
    assert unused(store, {node.folder: tags}) == []
    (found,) = unused(store, {node.folder: {"jpeg_50.v1"}})
    assert (found.folder, set(found.parts)) == (node.folder, set(names[2:]))
    assert found.about == "blur_1.v1 in image_embeddings of small"
    delete(store, found)
    assert {path.name for path in store.parts(node)} == set(names[:2])


def test_a_folder_in_which_a_run_computes_is_not_deleted(store, node):
    name = part_name(0, ["a"])
    store.write(node.folder, name, embeddings(["a"]), FACTS)
    (found,) = unused(store, {})
    with store.claiming() as claims:
        assert claims.take([node.folder], part_name(1, ["b"])) is None
        with pytest.raises(UserError, match=f"being written by process {os.getpid()} on") as caught:
            delete(store, found)
        assert (caught.value.where, caught.value.hint) == (str(store.folder(node)), "try later")
    assert store.has(node, name)
    delete(store, found)
    assert not store.folder(node).exists()


def test_parts_of_images_that_no_listing_has_are_found_and_forgotten_last(store, node, dag):
    """Three parts: both images gone, one of two gone, none gone; and one in a variant."""
    made = {"gone": ["a", "b"], "half": ["c", "d"], "there": ["e"]}
    names = {key: part_name(n, ids) for n, (key, ids) in enumerate(made.items())}
    images, listing = dag.nodes["images"], dag.nodes["listing"]
    for one in (images, listing):
        store.open_node(one, "small")
    for key, ids in made.items():
        described = tables.build("images", {"image_id": ids, "variant": ["clean"] * len(ids)})
        store.write(images.folder, names[key], described, FACTS)
        store.write(node.folder, names[key], embeddings(ids), FACTS)
    in_variant = tagged(names["gone"], "jpeg_50.v1")
    store.write(node.folder, in_variant, embeddings(["a-jpeg_50"]), FACTS)
    kept = {one.folder: {"jpeg_50.v1"} for one in (images, listing, node)}
    assert unused(store, kept) == []  # without any listing nothing is known to be gone
    rows = tables.build("listing", {"uri": ["file:///d", "file:///e"], "image_id": ["d", "e"]})
    store.write(listing.folder, part_name(0, ["d", "e"]), rows, FACTS)
    found = unused(store, kept)
    assert [(one.folder, set(one.parts)) for one in found] == [
        (node.folder, {names["gone"], in_variant}),
        (images.folder, {names["gone"]}),
    ]
    assert all(one.about.startswith("images that no listing has in ") for one in found)
    for one in found:
        delete(store, one)
    assert {path.name for path in store.parts(node)} == {names["half"], names["there"]}
    assert unused(store, kept) == []


def test_what_was_left_over_is_found_and_deleted(store, node):
    name = part_name(0, ["a"])
    store.write(node.folder, name, embeddings(["a"]), FACTS)
    assert left_over(store) == []
    store.set_aside(store.folder(node) / name)
    run = store.runs_folder / "cross" / "0123456789abcdef"
    run.mkdir(parents=True)
    old, new = partial(run), partial(run)
    for folder in (old, new):
        folder.mkdir()
        (folder / "head.safetensors").write_bytes(b"0" * 1000)
    for path in (old, old / "head.safetensors"):
        os.utime(path, (1, 1))
    bad, unfinished = left_over(store)
    assert (bad.folder, unfinished.folder) == ("set-aside", f"runs/{old.name}")
    assert bad.bytes > 100 and unfinished.bytes == 1000
    for one in (bad, unfinished):
        delete(store, one)
    assert left_over(store) == [] and new.is_dir() and run.is_dir() and not old.exists()


def test_a_run_that_goes_on_again_is_not_deleted(store):
    run = store.runs_folder / "cross" / "0123456789abcdef"
    folder = partial(run)
    folder.mkdir(parents=True)
    os.utime(folder, (1, 1))
    (found,) = left_over(store)
    (folder / "metrics.parquet").write_bytes(b"0")
    delete(store, found)
    assert folder.is_dir() and left_over(store) == []


def test_what_a_run_replaced_is_left_over_once_another_has_its_place(store):
    run = store.runs_folder / "cross" / "0123456789abcdef"
    old = aside(run)
    for folder in (run, old):
        folder.mkdir(parents=True)
        (folder / "metrics.parquet").write_bytes(b"0")
        for path in (folder / "metrics.parquet", folder):
            os.utime(path, (1, 1))
    (found,) = left_over(store)
    assert found.folder == f"runs/{old.name}"
    delete(store, found)
    assert run.is_dir() and not old.exists()
