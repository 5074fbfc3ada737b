import pytest
import yaml

from pipeline.dag.graph import load
from pipeline.errors import UserError
from pipeline.plan.plan import plan
from pipeline.store.parts import Store
from pipeline.store.upkeep import lost_lock

COMMIT = "c" * 40


@pytest.fixture
def path(write_dag, fake_models):
    """A DAG whose CLIP is a tag, and its lock."""
    path = write_dag(models=fake_models)
    raw = yaml.safe_load(path.read_text())
    for node in raw["nodes"].values():
        if "clip" in node:
            node["clip"] = {"model": "ViT-L-14", "pretrained": "openai"}
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    locked = {"hub": "timm/x", "revision": COMMIT, "files": {}}
    content = {"format": 1, "models": {"ViT-L-14:openai": locked}}
    (path.parent / "small.lock").write_text(yaml.safe_dump(content))
    return path


def test_a_lock_that_went_missing_stops_what_would_be_computed_anew(path, tmp_path):
    store = Store(tmp_path / "store")
    store.create()
    locked = load(str(path))
    lost_lock.check(locked, store)
    store.open_node(locked.nodes["image_embeddings"], "small")
    lost_lock.check(locked, store)
    (path.parent / "small.lock").unlink()
    graph = load(str(path))
    with pytest.raises(UserError) as caught:
        lost_lock.check(graph, store)
    assert "'image_embeddings' by revision cccccccccccc of ViT-L-14:openai" in caught.value.what
    assert str(path.parent / "small.lock") in caught.value.where
    reasons = {step.node: step.reason for step in plan(graph, store)}
    assert reasons["image_embeddings"] == (
        "revision of ViT-L-14:openai cccccccccccc -> not pinned (another lock, or none)"
    )


def test_who_never_had_a_lock_is_left_alone(path, tmp_path):
    (path.parent / "small.lock").unlink()
    store = Store(tmp_path / "store")
    store.create()
    graph = load(str(path))
    store.open_node(graph.nodes["image_embeddings"], "small")
    lost_lock.check(graph, store)
