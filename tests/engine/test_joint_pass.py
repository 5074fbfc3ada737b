"""Joint passes: which nodes go together, and that slices change nothing but what is decoded."""

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.dag.graph import Node, load
from pipeline.engine import joint_pass, machine
from pipeline.spec import Parameters, Stage

SIZES = [(100, 100), (100, 50), (10, 10), (400, 300), (100, 100), (None, None), (100, 100)]


def named(units):
    return [sorted(node.name for node in unit) for unit in units]


@pytest.fixture
def dag(write_dag, fake_models):
    return load(str(write_dag(models=fake_models)))


def test_nodes_that_open_images_go_together_with_those_between(dag):
    assert named(joint_pass.group(dag.computed)) == [
        ["captions", "image_embeddings", "object_embeddings", "objects", "regions"],
        ["text_embeddings"],
        ["misalignment"],
        ["features"],
    ]


@pytest.mark.parametrize(
    ("wanted", "units"),
    [
        (["captions"], [["captions"]]),
        (["captions", "objects"], [["captions"], ["objects"]]),
        (["captions", "image_embeddings"], [["captions", "image_embeddings"]]),
        (["objects", "regions"], [["objects"], ["regions"]]),
    ],
)
def test_fewer_nodes(dag, wanted, units):
    nodes = [node for node in dag.computed if node.name in wanted]
    assert sorted(named(joint_pass.group(nodes))) == units


def node(name, inputs, stage_inputs=None, key="image_id"):
    stage = Stage(name, 1, tuple(stage_inputs or inputs), "captions", Parameters, None, key=key)
    return Node(name, stage, inputs, Parameters(), name, {})


def test_what_waits_for_another_node_is_left_out_of_the_pass():
    """c opens images, but needs b, which is counted by text and cannot be sliced by image."""
    a = node("a", {"images": "images"})
    b = node("b", {"captions": "a"}, key="text_id")
    c = node("c", {"images": "images", "captions": "b"})
    d = node("d", {"images": "images", "captions": "a"})
    assert named(joint_pass.group([a, b, c, d])) == [["a", "d"], ["b"], ["c"]]


@pytest.fixture
def images():
    columns = {
        "image_id": [f"id{n}" for n in range(len(SIZES))],
        "width": [width for width, _ in SIZES],
        "height": [height for _, height in SIZES],
    }
    return tables.build("images", columns)


def test_slices_hold_as_many_images_as_fit(images):
    keys = images["image_id"].combine_chunks()
    found = [some.to_pylist() for some in joint_pass.slices(keys, images, lambda: 100, 20_000)]
    assert found == [["id0", "id1", "id2"], ["id3"], ["id4", "id5", "id6"]]
    some = keys.take(pa.array([1, 3, 4]))
    found = [few.to_pylist() for few in joint_pass.slices(some, images, lambda: 100, 20_000)]
    assert found == [["id1"], ["id3"], ["id4"]]


def test_slices_hold_no_more_than_is_asked_for_when_they_begin():
    keys, counts = pa.array([f"id{n}" for n in range(10)]), iter([1, 2, 4, 100])
    found = [len(some) for some in joint_pass.slices(keys, None, lambda: next(counts), 1)]
    assert found == [1, 2, 4, 3]
    assert list(joint_pass.slices(keys[:0], None, lambda: 1, 1)) == []


def test_a_gpu_gets_larger_slices_and_so_larger_batches(dag, monkeypatch):
    nodes = [dag.nodes["captions"], dag.nodes["objects"]]
    monkeypatch.setattr(machine, "gpus", list)
    assert joint_pass.pixels(nodes) == 2**27
    monkeypatch.setattr(machine, "gpus", lambda: ["0"])
    assert joint_pass.pixels(nodes) == 2**29
    assert joint_pass.pixels(nodes[1:]) == 2**27  # the parser runs on no GPU
