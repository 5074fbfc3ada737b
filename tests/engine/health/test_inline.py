"""A run in one process cannot end what hangs, but says where it does; its device may be lost."""

import time

from pipeline import pulse
from pipeline.engine import child, drive, executors
from pipeline.engine.health.inline import reporting
from tests.helpers.queues import Tasks


def test_a_silence_is_said_once_with_where_it_is():
    said = []
    with reporting(0.2, said.append), pulse.task("part-1"):
        pulse.node("captions")
        time.sleep(0.8)
        assert len(said) == 1
        pulse.beat()
        time.sleep(0.15)
        assert len(said) == 1
        time.sleep(0.6)
    assert len(said) == 2
    assert said[0].startswith("captions: part-1: no sign of life for 0.2s, at ")


def test_off_reports_nothing():
    said = []
    with reporting(None, said.append), pulse.task("part-1"):
        time.sleep(0.1)
    assert said == []


def test_once_the_device_is_lost_parts_are_run_in_children(bench, monkeypatch):
    (bench.folder / "assert").write_text("0-1")
    asked = []
    run = child.run

    def counted(stage, parameters, inputs, patience, share):
        asked.append((inputs["captions"].num_rows, patience.stall))
        return run(stage, parameters, inputs, patience, share)

    monkeypatch.setattr(child, "run", counted)
    with executors.executor([], True, None, None, bench.said.append, stall=60.0) as executor:
        queue = Tasks(list(bench.tasks[:2]))
        assert drive.drive(queue, executor, lambda receipt: None, bench.failures.append) == 0
    parts = [bench.store.read(bench.node.folder, p.name) for p in bench.store.parts(bench.node)]
    errors = [table["error"].to_pylist() for table in parts]
    assert errors[0][0] is None and errors[0][1].startswith("Died: the process ended with status 1")
    assert errors[1] == [None, None]
    assert asked == [(2, 60.0), (1, 60.0), (1, 60.0), (2, 60.0)]
