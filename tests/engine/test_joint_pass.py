"""Joint passes: which nodes go together, and that slices change nothing but what is decoded."""

from hashlib import sha256

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.corpus import upright
from pipeline.corpus.decode import decode
from pipeline.dag.graph import Node, load
from pipeline.engine import joint_pass
from pipeline.spec import Parameters, Stage
from tests.conftest import draw

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


def test_slices_hold_as_many_images_as_fit(images, monkeypatch):
    monkeypatch.setattr(joint_pass, "SLICE_PIXELS", 20_000)
    seen = []

    def compute(here, inputs):
        seen.append((here.name, inputs["images"]["image_id"].to_pylist()))
        assert list(inputs) == list(here.inputs)
        ids = inputs["images"]["image_id"]
        return pa.table({"image_id": ids, "by": [here.name] * len(ids)})

    a, b = node("a", {"images": "images"}), node("b", {"images": "images", "captions": "a"})
    made = joint_pass.run([a, b], {"images": images}, compute)
    slices = [["id0", "id1", "id2"], ["id3"], ["id4", "id5", "id6"]]
    assert seen == [(name, some) for some in slices for name in ("a", "b")]
    for name in ("a", "b"):
        table, seconds = made[name]
        assert table["image_id"].to_pylist() == images["image_id"].to_pylist()
        assert set(table["by"].to_pylist()) == {name}
        assert seconds > 0


def test_tables_from_outside_are_cut_to_the_slice(images, monkeypatch):
    monkeypatch.setattr(joint_pass, "SLICE_PIXELS", 1)
    objects = pa.table({"image_id": ["id0", "id0", "id3"], "phrase": ["x", "y", "z"]})
    seen = []

    def compute(here, inputs):
        seen.append(inputs["objects"]["phrase"].to_pylist())
        return inputs["images"].select(["image_id"])

    a = node("a", {"images": "images", "objects": "objects"})
    joint_pass.run([a], {"images": images, "objects": objects}, compute)
    assert seen == [["x", "y"], [], [], ["z"], [], [], []]


def test_a_part_without_images_is_one_empty_slice(images):
    compute = lambda here, inputs: inputs["images"].select(["image_id"])  # noqa: E731
    made = joint_pass.run(
        [node("a", {"images": "images"})], {"images": images.slice(0, 0)}, compute
    )
    assert made["a"][0].num_rows == 0


def test_each_image_is_decoded_once(tmp_path, monkeypatch):
    """With the real `decode`: four nodes open the same files, which are read once."""
    reads = []
    real = upright.read_bytes
    monkeypatch.setattr(upright, "read_bytes", lambda uri: reads.append(uri) or real(uri))
    monkeypatch.setattr(joint_pass, "SLICE_PIXELS", 2 * 48 * 48)
    paths = [draw(tmp_path / f"{number}.jpg", number) for number in range(5)]
    digests = [sha256(path.read_bytes()).hexdigest() for path in paths]
    columns = {"image_id": digests, "sha256": digests, "uri": [str(path) for path in paths]}
    table = tables.build("images", {**columns, "width": [48] * 5, "height": [48] * 5})

    def compute(here, inputs):
        assert all(image for _, image, _ in decode(inputs["images"]))
        return inputs["images"].select(["image_id"])

    nodes = [node(name, {"images": "images"}) for name in "abcd"]
    joint_pass.run(nodes, {"images": table}, compute)
    assert sorted(reads) == sorted(table["uri"].to_pylist())
