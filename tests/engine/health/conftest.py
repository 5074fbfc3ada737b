"""A store whose captions are there, for a made-up stage to parse."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.dag.graph import load
from pipeline.engine import drive, executors
from pipeline.engine.task import Task
from pipeline.stages import registry
from pipeline.store.parts import Store
from tests.engine.health.made_up import on_path
from tests.helpers.queues import Tasks
from tests.helpers.stores import members

PARTS, ROWS = 3, 2


@dataclass
class Bench:
    """A store with captions, and tasks that parse them with the made-up stage."""

    folder: Path
    store: Store
    node: object
    tasks: list
    said: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def drive(self, stall, workers=2):
        queue = Tasks(list(self.tasks))
        with ExitStack() as stack:
            running = executors.executor([], False, None, workers, self.said.append, stall=stall)
            executor = stack.enter_context(running)
            drive.drive(queue, executor, lambda receipt: None, lambda *f: self.failures.append(f))
        return sorted(queue.finished)

    def rows(self):
        parts = [self.store.read(self.node.folder, p.name) for p in self.store.parts(self.node)]
        table = pa.concat_tables(parts)
        assert sorted(table["image_id"].to_pylist()) == sorted(
            f"{part}-{row}" for part in range(PARTS) for row in range(ROWS)
        )
        bad = table.filter(table["error"].is_valid())
        return dict(zip(bad["image_id"].to_pylist(), bad["error"].to_pylist(), strict=True))


@pytest.fixture
def bench(write_dag, fake_models, tmp_path, monkeypatch):
    dag, store = load(str(write_dag(models=fake_models))), Store(tmp_path / "store")
    store.create()
    folder = on_path(tmp_path, monkeypatch)
    stage = registry.get_stage("parse")
    captions = dag.nodes["captions"]
    recipe = {**dag.nodes["objects"].recipe, "models": []}
    node = replace(dag.nodes["objects"], stage=stage, parameters=stage.parameters(), recipe=recipe)
    for one in (captions, node):
        store.open_node(one, "small")
    tasks = []
    for part in range(PARTS):
        ids = [f"{part}-{row}" for row in range(ROWS)]
        name = f"part-{part:05}-{part:08x}.parquet"
        store.write(captions.folder, name, tables.build("captions", {"image_id": ids}), {})
        asked = members(store, dag.nodes["images"], name, ids)
        sources = tuple((one, dag.nodes[one].folder) for one in ("captions", "images"))
        tasks.append(Task(store.root, (node,), name, sources, asked))
    return Bench(folder, store, node, tasks)
