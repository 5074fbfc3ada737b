"""Listing parts: numbered without gaps, the same whether or not a run was killed; limits."""

from pipeline.dag.graph import load
from pipeline.engine.queues import index
from pipeline.engine.task import execute
from pipeline.store.parts import Store
from tests.conftest import draw


def opened(path, tmp_path, name, *overrides):
    dag, store = load(str(path), list(overrides)), Store(tmp_path / name)
    store.create()
    for node in ("listing", "images"):
        store.open_node(dag.nodes[node], "small")
    return dag, store


def tasks(dag, store):
    return index.listing_queue(dag, store, index.new_files(dag, store, index.find(dag))).tasks


def ids(dag, store):
    node = dag.nodes["images"]
    tables = [store.read(node.folder, path.name) for path in store.parts(node)]
    return [table["image_id"].to_pylist() for table in tables]


def test_a_killed_listing_is_completed_into_the_same_parts(write_dag, fake_models, tmp_path):
    path = write_dag(models=fake_models)
    dag, whole = opened(path, tmp_path, "whole")
    for task in tasks(dag, whole):
        execute(task)
    index.write_images(dag, whole)

    _, killed = opened(path, tmp_path, "killed")
    execute(tasks(dag, killed)[2])  # the last and shorter part was the only one to commit
    for task in tasks(dag, killed):
        execute(task)
    index.write_images(dag, killed)
    names = [[path.name for path in store.parts(dag.nodes["images"])] for store in (whole, killed)]
    assert names[0] == names[1] and len(names[0]) == 3
    assert ids(dag, whole) == ids(dag, killed)


def test_the_same_content_is_one_image_even_in_a_later_part(
    write_dag, corpus, fake_models, tmp_path
):
    dag, store = opened(write_dag(models=fake_models), tmp_path, "store")
    for task in tasks(dag, store):
        execute(task)
    index.write_images(dag, store)
    first = corpus / "test" / "gan" / "0_real" / "0.jpg"
    (corpus / "test" / "gan" / "0_real" / "copy.jpg").write_bytes(first.read_bytes())
    draw(corpus / "test" / "gan" / "0_real" / "new.jpg", 77)
    (task,) = tasks(dag, store)
    assert task.part.startswith("part-00003-") and task.files.num_rows == 2
    execute(task)
    index.write_images(dag, store)
    assert [len(part) for part in ids(dag, store)] == [5, 5, 2, 1]


def test_a_limit_takes_files_from_everywhere_and_stays(write_dag, corpus, fake_models, tmp_path):
    dag, store = opened(write_dag(models=fake_models), tmp_path, "store", "corpus.limit=4")
    files = index.new_files(dag, store, index.find(dag))
    folders = {path.rsplit("/", 1)[0] for _, path in files}
    assert len(files) == 4 and len(folders) == 4
    for task in tasks(dag, store):
        execute(task)
    draw(corpus / "test" / "aaa" / "0_real" / "new.jpg", 78)
    assert index.new_files(dag, store, index.find(dag)) == []
