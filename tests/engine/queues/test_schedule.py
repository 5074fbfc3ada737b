import json

import pytest

from pipeline import tables
from pipeline.dag.graph import load
from pipeline.engine.machine import uses_device
from pipeline.engine.queues.schedule import Schedule
from pipeline.store.parts import Store
from pipeline.store.todo import inputs_of
from tests.helpers.stores import members

FACTS = {"rows_in": 1, "rows_ok": 1, "rows_failed": 0, "transient": 0}
PARTS = ["part-00000-00000000.parquet", "part-00001-00000001.parquet"]


def commit(store, node, part):
    store.open_node(node, "small")
    key = {} if node.stage.key == "text_id" else {"image_id": ["a"]}
    table = tables.build(node.stage.output, key, 2)
    above = {i: next(store.root.glob(f"*/{node.recipe['inputs'][i]}")) for i in inputs_of(node)}
    commits = {i: store.commit(f"{at.parent.name}/{at.name}", part) for i, at in above.items()}
    store.write(node.folder, part, table, {**FACTS, "inputs": json.dumps(commits)})


def names(task):
    return [node.name for node in task.nodes], task.part


def drain(schedule):
    out = []
    while task := schedule.pop():
        out.append(names(task))
    return out


JOINT = ["captions", "image_embeddings", "objects", "regions", "object_embeddings"]


@pytest.fixture
def dag(write_dag, fake_models):
    return load(str(write_dag(models=fake_models)))


@pytest.fixture
def store(dag, tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def asked(dag, store):
    return [members(store, dag.nodes["images"], part, ["a"]) for part in PARTS]


def test_tasks_become_ready_as_their_inputs_commit(dag, store, asked):
    schedule = Schedule(store, dag.computed, asked, dag.nodes)
    first = schedule.pop()
    assert sorted(names(first)[0]) == sorted(JOINT)
    assert first.sources == (("images", dag.nodes["images"].folder),)
    assert names(first)[1] == PARTS[0]
    assert [part for _, part in drain(schedule)] == PARTS[1:]
    for node in JOINT[:3]:
        schedule.finish(node, PARTS[0])
    assert drain(schedule) == [(["text_embeddings"], PARTS[0])]
    for node in [*JOINT[3:], "text_embeddings"]:
        schedule.finish(node, PARTS[0])
    assert drain(schedule) == [(["misalignment"], PARTS[0])]
    schedule.finish("misalignment", PARTS[0])
    assert drain(schedule) == [(["features"], PARTS[0])]


def test_committed_parts_are_never_handed_out_again(dag, store, asked):
    commit(store, dag.nodes["captions"], PARTS[0])
    schedule = Schedule(store, [dag.nodes["captions"], dag.nodes["objects"]], asked, dag.nodes)
    assert drain(schedule) == [(["captions"], PARTS[1]), (["objects"], PARTS[0])]
    assert schedule.missing(dag.nodes["captions"]) == 1


def test_a_joint_task_has_only_the_nodes_that_the_part_lacks(dag, store, asked):
    commit(store, dag.nodes["captions"], PARTS[0])
    commit(store, dag.nodes["objects"], PARTS[0])
    schedule = Schedule(store, dag.computed, asked, dag.nodes)
    joint, text, whole = schedule.pop(), schedule.pop(), schedule.pop()
    tasks = {names(task)[1]: task for task in (joint, text, whole) if len(task.nodes) > 1}
    assert sorted(names(tasks[PARTS[0]])[0]) == [
        "image_embeddings",
        "object_embeddings",
        "regions",
    ]
    assert [name for name, _ in tasks[PARTS[0]].sources] == ["images", "objects"]
    assert sorted(names(tasks[PARTS[1]])[0]) == sorted(JOINT)
    assert (["text_embeddings"], PARTS[0]) in [names(task) for task in (joint, text, whole)]


def test_only_a_node_whose_inputs_are_missing_hands_out_nothing(dag, store, asked):
    schedule = Schedule(store, [dag.nodes["objects"]], asked, dag.nodes)
    assert drain(schedule) == [] and schedule.missing(dag.nodes["objects"]) == 2
    assert schedule.waits_for(dag.nodes["objects"]) == ["captions"]


def test_what_waits_for_a_gpu_does_not_hold_up_what_needs_none(dag, store, asked):
    for node in dag.computed[:-2]:
        commit(store, node, PARTS[0])
    schedule = Schedule(store, dag.computed, asked, dag.nodes)

    def no_gpu_is_free(nodes):
        return not any(uses_device(node) for node in nodes)

    (ready,) = iter(lambda: schedule.pop(no_gpu_is_free), None)
    assert names(ready) == (["misalignment"], PARTS[0])
    assert names(schedule.pop())[1] == PARTS[1]  # the joint pass, which was not lost
    assert schedule.pop() is None
