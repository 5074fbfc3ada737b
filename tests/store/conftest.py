"""A store of one node's parts, as they are written: made-up embeddings."""

import numpy as np
import pytest

from pipeline import tables
from pipeline.dag.graph import load
from pipeline.store.parts import Store


@pytest.fixture
def dag(write_dag, fake_models):
    return load(str(write_dag(models=fake_models)))


@pytest.fixture
def node(dag):
    return dag.nodes["image_embeddings"]


@pytest.fixture
def store(tmp_path, node):
    store = Store(tmp_path / "store")
    store.create()
    store.open_node(node, "small")
    return store


def embeddings(ids):
    values = np.arange(len(ids) * 3, dtype=np.float32).reshape(-1, 3)
    columns = {"image_id": ids, "embedding": tables.vectors(values), "norm": [1.0] * len(ids)}
    return tables.build("image_embeddings", columns, 3)


FACTS = {"rows_in": 2, "rows_ok": 2, "rows_failed": 0, "seconds_read": 0, "seconds_infer": 0}
