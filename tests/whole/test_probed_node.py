"""Embeddings of others as one more baseline: from the user's file to a row of the table."""

import numpy as np
import pytest
import yaml

from pipeline.dag import graph
from pipeline.errors import UserError
from tests.conftest import rows


@pytest.fixture
def probed(write_dag, corpus, tmp_path):
    """The demo's nodes and a node `dinov2`, whose vectors tell real from fake."""
    path = write_dag()
    names = sorted(str(file.relative_to(corpus)) for file in corpus.rglob("*.jpg"))
    vectors = [[1.0, number / 10, 2.0 * ("1_fake" in name)] for number, name in enumerate(names)]
    np.savez(tmp_path / "dinov2.npz", keys=np.array(names), embeddings=np.array(vectors))

    def write(node="dinov2", baseline="dinov2"):
        raw = yaml.safe_load(path.read_text())
        raw["nodes"][node] = {
            "stage": "provided",
            "table": "image_embeddings",
            "images": "images",
            "file": "dinov2.npz",
            "by": "path",
        }
        raw["experiments"] = {
            "unseen": {
                "train": "generator = 'gan'",
                "test": "generator = 'flow'",
                "probes": {"DINOv2": baseline},
                "head": {"hidden": [4], "epochs": 1, "least_steps": 1},
                "bootstrap": 0,
            }
        }
        path.write_text(yaml.safe_dump(raw, sort_keys=False))
        return path

    return write


def test_a_node_of_others_embeddings_is_one_more_row(probed, item, tmp_path):
    dag, store = probed(), ("--store", tmp_path / "store")
    done = item("run", dag, "--inline", *store, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "linear probe of DINOv2  flow" in done.stdout
    sql = "select method, auroc from runs"
    found = {row["method"]: row["auroc"] for row in rows(
        item("query", dag, sql, "--format", "json", *store, cwd=tmp_path))}  # fmt: skip
    assert found["linear probe of DINOv2"] == 1.0
    assert len(found) == 12


@pytest.mark.parametrize("baseline", ["dino", "captions", "features"])
def test_what_makes_no_image_embeddings_is_refused_at_once(probed, baseline):
    with pytest.raises(UserError, match=f"'{baseline}' is no node that makes") as failure:
        graph.load(str(probed(baseline=baseline)))
    assert failure.value.where.endswith("experiments.unseen")
