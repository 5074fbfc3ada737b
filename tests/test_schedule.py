from pipeline import tables
from pipeline.dag import load
from pipeline.schedule import Schedule
from pipeline.store import Store

FACTS = {"rows_in": 1, "rows_ok": 1, "rows_failed": 0, "seconds_read": 0, "seconds_infer": 0}
PARTS = ["part-00000-00000000.parquet", "part-00001-00000001.parquet"]


def commit(store, node, part):
    store.open_node(node, "small")
    table = tables.build(node.stage.output, {}, 2)
    store.write(node.folder, part, table, FACTS)


def drain(schedule):
    out = []
    while task := schedule.pop():
        out.append((task.node.name, task.part))
    return out


def test_tasks_become_ready_as_their_inputs_commit(write_dag, fake_models, tmp_path):
    dag, store = load(str(write_dag(models=fake_models))), Store(tmp_path / "store")
    for part in PARTS:
        commit(store, dag.nodes["images"], part)
    schedule = Schedule(store, dag.computed, PARTS, dag.nodes)
    first = schedule.pop()
    ready = [(first.node.name, first.part), *drain(schedule)]
    assert set(ready) == {(n, p) for n in ("captions", "image_embeddings") for p in PARTS}
    assert drain(schedule) == []
    captions = next(t for t in [first] if t.node.name in ("captions", "image_embeddings"))
    schedule.finish(captions)
    after = drain(schedule)
    expected = [("objects", captions.part)] if captions.node.name == "captions" else []
    assert after == expected


def test_committed_parts_are_never_handed_out_again(write_dag, fake_models, tmp_path):
    dag, store = load(str(write_dag(models=fake_models))), Store(tmp_path / "store")
    for part in PARTS:
        commit(store, dag.nodes["images"], part)
    commit(store, dag.nodes["captions"], PARTS[0])
    schedule = Schedule(store, [dag.nodes["captions"], dag.nodes["objects"]], PARTS, dag.nodes)
    assert drain(schedule) == [("captions", PARTS[1]), ("objects", PARTS[0])]
    assert schedule.missing(dag.nodes["captions"]) == 1


def test_only_a_node_whose_inputs_are_missing_hands_out_nothing(write_dag, fake_models, tmp_path):
    dag, store = load(str(write_dag(models=fake_models))), Store(tmp_path / "store")
    for part in PARTS:
        commit(store, dag.nodes["images"], part)
    schedule = Schedule(store, [dag.nodes["objects"]], PARTS, dag.nodes)
    assert drain(schedule) == [] and schedule.missing(dag.nodes["objects"]) == 2
    assert schedule.waits_for(dag.nodes["objects"]) == ["captions"]
