"""`item verify`: what is wrong with a store is named, set aside, and computed again."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from pipeline.dag.graph import load
from pipeline.engine.progress import Reporter
from pipeline.engine.run import Options, run
from pipeline.errors import UserError
from pipeline.store import part_file
from pipeline.store.contents import asked
from pipeline.store.parts import Store, read_part, write_part
from pipeline.store.todo import check_not_stale
from pipeline.store.upkeep.verify import set_aside, verify
from tests.conftest import make_corpus, make_dag


def computed(dag, store):
    run(dag, store, list(dag.nodes.values()), Options(inline=True), Reporter())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    dag = load(str(make_dag(folder / "small.yaml", make_corpus(folder / "corpus"))))
    store = Store(folder / "store")
    computed(dag, store)
    return dag, store


@pytest.fixture
def made(whole, tmp_path):
    dag, store = whole
    shutil.copytree(store.root, tmp_path / "store")
    return dag, Store(tmp_path / "store")


def faults(dag, store):
    return [fault for _, found in verify(dag, store) for fault in found]


def first(dag, store, node):
    return store.parts(dag.nodes[node])[0]


def rewritten(path, change):
    """The part with other rows, but whole: as a faulty worker would have written it."""
    table, facts = read_part(path)
    write_part(path, change(table), {k: v for k, v in facts.items() if k != "sums"})


def column(table, name, values):
    where = table.column_names.index(name)
    return table.set_column(where, table.schema.field(name), pa.array(values, table[name].type))


def test_a_whole_store_has_no_faults_and_every_part_is_read(made):
    dag, store = made
    paths = [path for path, found in verify(dag, store) if not found]
    assert sorted(paths) == sorted(store.all_parts()) and len(paths) == 3 * len(dag.nodes)


@pytest.mark.parametrize("node", ["listing", "images", "captions", "features"])
def test_damage_is_named(made, node):
    dag, store = made
    path = first(dag, store, node)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    (fault,) = faults(dag, store)
    assert (fault.node, fault.path) == (node, path)
    assert "not what was written" in fault.why


def test_rows_that_are_lost_or_come_twice_are_found(made):
    dag, store = made
    rewritten(first(dag, store, "captions"), lambda table: table[1:])
    rewritten(first(dag, store, "features"), lambda table: pa.concat_tables([table, table[:1]]))
    found = [(fault.node, fault.why) for fault in faults(dag, store)]
    assert ("captions", "it says 5 rows, 0 failed, and has 4, 0 failed") in found
    assert ("objects", "made from other rows than captions has now") in found
    assert ("features", "1 row with the key of another") in found


def test_vectors_that_are_no_unit_vectors_and_cosines_of_others_are_found(made):
    dag, store = made

    def longer(table):
        where = table.column_names.index("embedding")
        vectors = np.stack(table["embedding"].to_numpy(zero_copy_only=False)) * 1.1
        flat = pa.array(vectors.astype(np.float16).reshape(-1))
        kind = table.schema.field("embedding")
        made = pa.FixedSizeListArray.from_arrays(flat, type=kind.type)
        return table.set_column(where, kind, made)

    def nearer(table):
        return column(table, "cosine", [0.99] * len(table))

    rewritten(first(dag, store, "image_embeddings"), longer)
    rewritten(store.parts(dag.nodes["misalignment"])[1], nearer)
    found = [(fault.node, fault.why) for fault in faults(dag, store)]
    assert ("image_embeddings", "embedding has vectors that are not of unit length") in found
    again = "computed again from its inputs, other values come out: cosine"
    assert ("misalignment", again) in found


def test_what_is_set_aside_is_computed_again_and_what_depends_on_it_too(made):
    dag, store = made
    before = {path: part_file.facts(path)["commit"] for path in store.all_parts()}

    def other(table):
        return column(table, "caption", ["a dog"] * len(table))

    captions = first(dag, store, "captions")
    rewritten(captions, other)
    after = {"objects", "text_embeddings", "misalignment", "features"}  # what reads captions
    assert {fault.node for fault in faults(dag, store)} == after
    with pytest.raises(UserError, match=r"made from other rows.*of objects"):
        check_not_stale(store, list(dag.nodes.values()), asked(dag, store))
    computed(dag, store)  # follows the captions that are there
    assert faults(dag, store) == []
    assert read_part(first(dag, store, "objects"))[0]["phrase"].to_pylist().count("dog") == 5
    captions.write_bytes(b"PAR1")
    (moved,) = set_aside(store, faults(dag, store))
    assert moved.read_bytes() == b"PAR1" and not captions.exists()
    computed(dag, store)
    assert {path: part_file.facts(path)["commit"] for path in store.all_parts()} == before


def test_inputs_that_do_not_belong_together_are_a_finding_and_no_traceback(made):
    """As if a faulty worker had lost a row, and everything below had been told of it."""
    dag, store = made
    rewritten(first(dag, store, "captions"), lambda table: table[1:])
    commit = part_file.facts(first(dag, store, "captions"))["commit"]
    for node in ("objects", "text_embeddings", "misalignment", "features"):
        path = first(dag, store, node)
        table, facts = read_part(path)
        inputs = json.loads(facts["inputs"]) | {"captions": commit}
        write_part(
            path,
            table,
            {k: v for k, v in facts.items() if k != "sums"} | {"inputs": json.dumps(inputs)},
        )
    found = {(fault.node, fault.why.partition(":")[0]) for fault in faults(dag, store)}
    assert ("misalignment", "it cannot be computed again from its inputs") in found


@pytest.mark.parametrize("node", ["listing", "images", "image_embeddings", "features"])
def test_any_part_that_is_set_aside_comes_back_as_it_was(made, node, monkeypatch):
    """Of the corpus too: and nothing that is there is computed again."""
    dag, store = made
    before = {path: part_file.facts(path)["commit"] for path in store.all_parts()}
    path = first(dag, store, node)
    path.write_bytes(b"")
    set_aside(store, faults(dag, store))
    computed(dag, store)
    after = {path: part_file.facts(path)["commit"] for path in store.all_parts()}
    assert faults(dag, store) == [] and after == before


def test_on_the_command_line(whole, tmp_path, item):
    dag, store = whole
    shutil.copytree(store.root, tmp_path / "store")
    path = first(dag, Store(tmp_path / "store"), "features")
    answer = item("verify", dag.path, cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "") and ": none bad" in answer.stdout
    path.write_bytes(path.read_bytes()[:-1])
    doctor = item("doctor", cwd=tmp_path)
    assert doctor.returncode == 2 and str(path) in doctor.stdout
    answer = item("verify", dag.path, "--json", cwd=tmp_path)
    assert answer.returncode == 1 and f"features: {path}: " in answer.stderr
    assert [fault["path"] for fault in json.loads(answer.stdout)["tables"]["faults"]] == [str(path)]
    answer = item("verify", dag.path, "--fix", cwd=tmp_path)
    assert answer.returncode == 0 and "set aside" in answer.stdout and not path.exists()
    assert f"item run {dag.path}" in answer.stdout


def test_a_part_of_the_listing_that_is_gone_is_told_of(whole, tmp_path, item):
    dag, store = whole
    shutil.copytree(store.root, tmp_path / "store")
    path, *_ = Store(tmp_path / "store").parts(dag.nodes["listing"])
    path.unlink()
    said = f"warning: 1 part of the listing is gone: `item run {dag.path}` lists the files again\n"
    asked = item("query", dag.path, "select count(*) as n from listing", "--json", cwd=tmp_path)
    assert json.loads(asked.stdout)["tables"]["answer"] == [{"n": 7}] and asked.stderr == said
    for command in ("status", "report"):
        answer = item(command, dag.path, cwd=tmp_path)
        assert (answer.returncode, answer.stderr) == (0, said)
    answer = item("verify", dag.path, "--json", cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (
        1,
        f"{said}listing: {path}: it is gone, and a run had left it\n",
    )
    assert [fault["path"] for fault in json.loads(answer.stdout)["tables"]["faults"]] == [str(path)]
    answer = item("verify", dag.path, cwd=tmp_path)
    assert answer.stdout.splitlines()[0].endswith(": none bad, 1 gone")
    answer = item("verify", dag.path, "--fix", cwd=tmp_path)
    assert answer.returncode == 0 and f"item run {dag.path}" in answer.stdout
    assert item("run", dag.path, "--inline", cwd=tmp_path).returncode == 0
    answer = item("verify", dag.path, cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "") and ": none bad\n" in answer.stdout


def test_damage_of_what_says_what_there_is_is_named_and_mended_too(whole, tmp_path, item):
    dag, store = whole
    shutil.copytree(store.root, tmp_path / "store")
    copy = Store(tmp_path / "store")
    bad = [first(dag, copy, node) for node in ("listing", "images", "captions")]
    for path in bad:
        path.write_bytes(path.read_bytes()[:-1])
    answer = item("verify", dag.path, cwd=tmp_path)
    assert answer.returncode == 1 and all(str(path) in answer.stderr for path in bad)
    answer = item("verify", dag.path, "--fix", cwd=tmp_path)
    assert answer.returncode == 0 and not any(path.exists() for path in bad)
    answer = item("run", dag.path, "--inline", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    answer = item("verify", dag.path, cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "") and ": none bad" in answer.stdout
