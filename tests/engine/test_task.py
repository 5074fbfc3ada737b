"""One task over several nodes: the joint pass, and what happens when it cannot be made."""

import socket
from dataclasses import replace

import pytest

from pipeline import models, tables
from pipeline.dag.graph import load
from pipeline.engine.task import Task, execute
from pipeline.errors import UserError
from pipeline.store.contents import asked
from pipeline.store.parts import Store
from tests.helpers.stores import listed

NODES = ("captions", "image_embeddings", "objects")


class Words:
    """Stands for a loaded model that no stage here asks anything."""


@pytest.fixture
def opened(write_dag, fake_models, tmp_path, monkeypatch):
    """A store with the images of a small corpus, and its DAG; no model is ever loaded."""
    monkeypatch.setattr(models, "get", lambda spec: Words())
    dag, store = load(str(write_dag(models=fake_models))), Store(tmp_path / "store")
    listed(dag, store)
    for name in NODES:
        store.open_node(dag.nodes[name], "small")
    return dag, store


def stand_in(node, run):
    return replace(node, stage=replace(node.stage, run=run))


def captions(inputs, parameters, loaded):
    ids = inputs["images"]["image_id"].to_pylist()
    return tables.build("captions", {"image_id": ids, "caption": ["a ball"] * len(ids)})


def embeddings(inputs, parameters, loaded):
    ids = inputs["images"]["image_id"].to_pylist()
    return tables.build("image_embeddings", {"image_id": ids}, 2)


def objects(inputs, parameters, loaded):
    ids = inputs["captions"]["image_id"].to_pylist()
    return tables.build("objects", {"image_id": ids})


def task_of(dag, store, runs):
    nodes = tuple(stand_in(dag.nodes[name], run) for name, run in zip(NODES, runs, strict=True))
    one = asked(dag, store)[0]
    return Task(store.root, nodes, one.part, (("images", dag.nodes["images"].folder),), one)


def counted(run, calls):
    def counting(inputs, parameters, loaded):
        calls.append(len(next(iter(inputs.values()))))
        return run(inputs, parameters, loaded)

    return counting


def test_all_nodes_of_a_task_are_committed_with_a_receipt_each(opened):
    dag, store = opened
    calls = []
    task = task_of(dag, store, [counted(run, calls) for run in (captions, embeddings, objects)])
    outcome = execute(task)
    assert [(r.node, r.rows_in, r.rows_ok) for r in outcome.receipts] == [
        (name, 5, 5) for name in NODES
    ]
    assert outcome.failures == () and calls == [5, 5, 5]
    assert execute(task).receipts == outcome.receipts and calls == [5, 5, 5]


def test_what_is_committed_already_is_read_not_computed(opened):
    dag, store = opened
    calls = []
    whole = task_of(dag, store, [captions, embeddings, counted(objects, calls)])
    execute(replace(whole, nodes=whole.nodes[:1]))
    outcome = execute(whole)
    assert [receipt.node for receipt in outcome.receipts] == list(NODES) and calls == [5]


def test_a_poison_image_costs_one_row_of_one_node(opened):
    dag, store = opened
    path = store.parts(dag.nodes["images"])[0]
    poison = store.read(dag.nodes["images"].folder, path.name)["image_id"][2].as_py()

    def poisoned(inputs, parameters, loaded):
        if poison in inputs["images"]["image_id"].to_pylist():
            raise RuntimeError("cannot digest this")
        return captions(inputs, parameters, loaded)

    task = task_of(dag, store, [poisoned, embeddings, objects])
    outcome = execute(task)
    assert [(r.node, r.rows_failed) for r in outcome.receipts] == list(
        zip(NODES, (1, 0, 0), strict=True)
    )
    made = store.read(dag.nodes["captions"].folder, task.part)
    assert made["error"].to_pylist()[2] == "RuntimeError: cannot digest this"
    assert made["caption"].null_count == 1


def test_a_node_that_fails_altogether_costs_only_what_needs_it(opened):
    dag, store = opened

    def broken(inputs, parameters, loaded):
        raise RuntimeError("out of order")

    outcome = execute(task_of(dag, store, [broken, embeddings, objects]))
    assert [receipt.node for receipt in outcome.receipts] == ["image_embeddings"]
    assert outcome.failures == (("captions", "RuntimeError: out of order"),)
    assert not store.has(dag.nodes["objects"], outcome.receipts[0].part)


def test_a_model_that_cannot_be_loaded_costs_only_what_needs_it(opened, monkeypatch):
    dag, store = opened

    def get(spec):
        if "captioner" in str(spec.model):
            raise RuntimeError("no memory for it")
        return Words()

    monkeypatch.setattr(models, "get", get)
    outcome = execute(task_of(dag, store, [captions, embeddings, objects]))
    assert [receipt.node for receipt in outcome.receipts] == ["image_embeddings"]
    assert outcome.failures == (("captions", "RuntimeError: no memory for it"),)


def test_what_the_user_can_mend_stops_the_task(opened):
    dag, store = opened

    def refused(inputs, parameters, loaded):
        raise UserError("the disk is full")

    with pytest.raises(UserError, match="disk"):
        execute(task_of(dag, store, [captions, refused, objects]))


def test_a_stage_that_loses_rows_is_not_committed(opened):
    dag, store = opened

    def losing(inputs, parameters, loaded):
        return embeddings(inputs, parameters, loaded).slice(1)

    outcome = execute(task_of(dag, store, [captions, losing, objects]))
    assert [name for name, _ in outcome.failures] == ["image_embeddings"]
    assert "the stage lost some" in outcome.failures[0][1]
    assert not store.has(dag.nodes["image_embeddings"], outcome.receipts[0].part)


def test_a_worker_with_other_software_writes_nothing(opened, monkeypatch):
    dag, store = opened
    made = task_of(dag, store, (captions, embeddings, objects))
    older = replace(made, software=made.software.replace("item ", "item 0."))
    with pytest.raises(UserError, match=f"the worker on {socket.gethostname()} has item .*, and"):
        execute(older)
    node = made.nodes[0]
    monkeypatch.setitem(node.recipe, "version", node.stage.version + 1)
    with pytest.raises(UserError, match="the stages of captions are not the same"):
        execute(made)
    assert [store.parts(node) for node in made.nodes] == [[], [], []]
