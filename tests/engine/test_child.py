"""A stage in a process of its own: the same table, its last words, and an end to its silence."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.engine import child, poison
from pipeline.engine.child import Patience
from pipeline.errors import UserError
from pipeline.stages.registry import get_stage
from tests.engine.health.made_up import on_path
from tests.helpers.images import images_table

IDS = [f"id{i:02}" for i in range(4)]
IMAGES = tables.build("images", {"image_id": IDS})
NEVER = Patience()


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    return on_path(tmp_path, monkeypatch)


def failed(table):
    bad = table.filter(table["error"].is_valid())
    return dict(zip(bad["image_id"].to_pylist(), bad["error"].to_pylist(), strict=True))


def test_the_child_process_gives_what_the_stage_gives_here():
    images = get_stage("images")
    rows = images_table(
        {"image_id": ["1" * 32, "2" * 32], "uri": ["a", "b"], "variant": ["jpeg_50"] * 2}
    )
    parameters = images.parameters()
    here = images.run({"images": rows}, parameters, [])
    there = child.run(images, parameters, {"images": rows}, NEVER, 1.0)
    assert there.equals(here) and isinstance(there, pa.Table)


def test_a_dead_child_is_reported_with_its_last_words():
    images = get_stage("images")
    with pytest.raises(child.Died, match=r"ended with status 1 .*KeyError"):
        child.run(images, images.parameters(), {"wrong": IMAGES}, NEVER, 1.0)


def test_an_image_that_hangs_its_process_costs_one_row(made_up, monkeypatch):
    monkeypatch.setattr(child, "LEAST_WAIT", 1.0)
    (made_up / "hang").write_text("id02")
    stage = get_stage("parse")
    inputs = {"captions": tables.build("captions", {"image_id": IDS})}
    before = set(psutil.Process().children(recursive=True))
    table = poison.in_child(stage, stage.parameters(), inputs, Patience(30.0, 0.01))
    assert table["image_id"].to_pylist() == IDS
    assert failed(table) == {
        "id02": "TookTooLong: took longer than 1s without a sign of life on this image"
    }
    assert set(psutil.Process().children(recursive=True)) == before


def test_a_child_that_gives_signs_of_life_may_take_longer(made_up):
    (made_up / "slow").write_text("id02")  # 3 s, with a beat every tenth of a second
    stage = get_stage("parse")
    inputs = {"captions": tables.build("captions", {"image_id": IDS})}
    table = child.run(stage, stage.parameters(), inputs, Patience(2.0), 1.0)
    assert table["image_id"].to_pylist() == IDS and failed(table) == {}


@pytest.mark.parametrize(
    ("patience", "share", "seconds"),
    [
        (Patience(None, 5.0), 1.0, None),
        (Patience(600.0, None), 0.001, 600.0),
        (Patience(600.0, 120.0), 1.0, 600.0),
        (Patience(600.0, 120.0), 0.25, 300.0),
        (Patience(600.0, 120.0), 1 / 2048, 60.0),
        (Patience(30.0, 120.0), 1 / 2048, 30.0),
    ],
)
def test_a_child_gets_what_its_share_of_the_part_should_take_ten_times(patience, share, seconds):
    assert patience.seconds(share) == seconds


def test_a_child_ends_with_the_process_that_started_it(made_up):
    (made_up / "hang").write_text("id02")
    code = (
        "from pipeline import tables\nfrom pipeline.engine.child import run, Patience\n"
        "from pipeline.stages.registry import get_stage\ns = get_stage('parse')\n"
        "t = tables.build('captions', {'image_id': ['id02']})\n"
        "run(s, s.parameters(), {'captions': t}, Patience(), 1.0)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 30
    while not (made_up / "hanging").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    (grandchild,) = psutil.Process(parent.pid).children()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert psutil.wait_procs([grandchild], timeout=10)[1] == []


def test_a_full_disk_is_said_and_blames_no_image(monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "item-x")

    monkeypatch.setattr(child.feather, "write_feather", full)
    images = get_stage("images")
    with pytest.raises(UserError, match=r"No space left on device[^$]*TMPDIR"):
        poison.in_child(images, images.parameters(), {"listing": IMAGES})
