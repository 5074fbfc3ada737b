"""Parts that hang or lose their device, on real worker processes: each costs one row at most."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import stages, tables
from pipeline.dag import load
from pipeline.engine import drive, executors
from pipeline.engine.task import Task
from pipeline.store import Store
from tests.engine.health.made_up import on_path

PARTS, ROWS = 3, 2


@dataclass
class Queue:
    tasks: list
    finished: list = field(default_factory=list)

    def pop(self, *_):
        return self.tasks.pop(0) if self.tasks else None

    def finish(self, node, part):
        self.finished.append(part)


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
        queue = Queue(list(self.tasks))
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
    stage = stages.get_stage("parse")
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
        tasks.append(Task(store.root, (node,), name, (("captions", captions.folder),)))
    return Bench(folder, store, node, tasks)


def test_a_part_that_hangs_is_tried_elsewhere_then_its_image_becomes_a_failed_row(bench):
    (bench.folder / "hang").write_text("1-1")
    assert bench.drive(stall=2.0) == [task.part for task in bench.tasks]
    assert bench.rows() == {
        "1-1": "TookTooLong: took longer than 2s without a sign of life on this image"
    }
    assert bench.failures == []
    first, second = bench.said
    part = bench.tasks[1].part
    assert first.startswith(f"objects: {part} on worker ")
    assert "): no sign of life for 2s, at made_up.py:" in first
    assert "the worker is restarted, and the part is tried again, on another worker" in first
    assert second.endswith("its images are tried in child processes, to find the one at fault")
    assert first.split(" on worker ")[1][0] != second.split(" on worker ")[1][0]


def test_a_worker_that_is_stopped_altogether_is_restarted_and_nothing_is_lost(bench):
    (bench.folder / "stop").write_text("1-0")
    (bench.folder / "only_once").touch()
    assert bench.drive(stall=2.0) == [task.part for task in bench.tasks]
    assert bench.rows() == {}
    assert 1 <= len(bench.said) <= 2  # what waited there is under suspicion, too, when it fell
    line = bench.said[0]
    assert "no sign of life for 2s, where is not known: its process does not answer" in line


def test_a_lost_device_restarts_the_worker_and_blames_one_image(bench):
    (bench.folder / "assert").write_text("0-1")
    assert bench.drive(stall=60.0, workers=1) == [task.part for task in bench.tasks]
    errors = bench.rows()
    assert list(errors) == ["0-1"]
    assert "ended with status 1 on this image: " in errors["0-1"]
    first, second = bench.said
    assert "the device is lost to its process (RuntimeError: CUDA error: device-side" in first
    assert "the worker is restarted, and the part is tried again" in first
    assert second.endswith("its images are tried in child processes, to find the one at fault")
    processes = (bench.folder / "processes").read_text().split()
    assert len(processes) == len(set(processes))  # none was asked again after its device was lost
