"""Poison images become failed rows; everything else is kept, in order."""

import os
import signal

import pytest

from pipeline import tables
from pipeline.engine import child, poison
from pipeline.errors import UserError
from pipeline.spec import Parameters, Stage

IDS = [f"id{i:02}" for i in range(16)]
IMAGES = tables.build("images", {"image_id": IDS})


def stage(run):
    return Stage("made_up", 1, ("images",), "captions", Parameters, run)


def captions(inputs):
    ids = inputs["images"]["image_id"].to_pylist()
    return tables.build("captions", {"image_id": ids, "caption": [f"of {i}" for i in ids]})


def poisoned(*bad):
    def run(inputs, parameters, models):
        found = set(inputs["images"]["image_id"].to_pylist()) & set(bad)
        if found:
            raise RuntimeError(f"cannot digest {sorted(found)[0]}")
        return captions(inputs)

    return stage(run)


def test_a_poison_image_becomes_a_failed_row_and_no_other_is_lost():
    out = poison.in_process(poisoned("id05", "id11"), Parameters(), {"images": IMAGES}, [])
    assert out["image_id"].to_pylist() == IDS
    failed = out.filter(out["error"].is_valid())
    assert failed["image_id"].to_pylist() == ["id05", "id11"]
    assert failed["caption"].to_pylist() == [None, None]
    assert failed["error"][0].as_py() == "RuntimeError: cannot digest id05"
    tables.check("captions", out)


def test_a_stage_that_fails_on_everything_raises_its_own_error():
    with pytest.raises(RuntimeError, match="cannot digest"):
        poison.in_process(poisoned(*IDS), Parameters(), {"images": IMAGES}, [])


def test_a_user_error_is_not_taken_for_poison():
    def run(inputs, parameters, models):
        raise UserError("the model is missing")

    with pytest.raises(UserError, match="the model is missing"):
        poison.in_process(stage(run), Parameters(), {"images": IMAGES}, [])


def test_a_process_that_dies_on_an_image_costs_only_that_image(monkeypatch):
    """The halving over children, each a fork that the poison kills as a native crash would."""

    def forked(made_up, parameters, inputs, patience, share):
        pid = os.fork()
        if pid == 0:
            if "id03" in inputs["images"]["image_id"].to_pylist():
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise child.Died("the process ended with status -9 on this image: no message")
        return captions(inputs)

    monkeypatch.setattr(child, "run", forked)
    out = poison.in_child(poisoned(), Parameters(), {"images": IMAGES})
    assert out["image_id"].to_pylist() == IDS
    assert out.filter(out["error"].is_valid())["image_id"].to_pylist() == ["id03"]
