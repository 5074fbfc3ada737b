"""Poison images become failed rows; everything else is kept, in order."""

import os
import signal

import pytest

from pipeline import tables
from pipeline.engine import child, poison
from pipeline.errors import UserError
from pipeline.spec import Parameters, Stage
from tests.helpers.images import images_table

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


def deadly(*bad):
    """Fails on images by their content, as a decoder does; counts its runs."""

    def run(inputs, parameters, models):
        runs.append(len(inputs["images"]))
        if found := set(inputs["images"]["sha256"].to_pylist()) & set(bad):
            raise MemoryError if len(bad) > 1 else KeyError(*found)
        return captions(inputs)

    runs: list[int] = []
    return stage(run), runs


def listed(count):
    ids = [f"id{i:02}" for i in range(count)]
    contents = [f"content of {i}" for i in ids]
    return images_table({"image_id": ids, "uri": ids, "sha256": contents})


@pytest.mark.parametrize(
    "bad",
    [range(9), range(24, 33), range(0, 33, 2), range(32), range(33), [32]],
    ids=["first", "last", "every other", "all but one", "all", "one"],
)
def test_each_of_any_number_of_poison_images_is_found_and_all_others_are_computed(bad):
    table = listed(33)
    made_up, runs = deadly(*(f"content of id{i:02}" for i in bad))
    out = poison.in_process(made_up, Parameters(), {"images": table}, [])
    tables.check("captions", out)
    assert out["image_id"].to_pylist() == table["image_id"].to_pylist()
    failed = out.filter(out["error"].is_valid())
    assert failed["image_id"].to_pylist() == [f"id{i:02}" for i in bad]
    assert out.filter(out["error"].is_null())["caption"].null_count == 0
    for why in failed["error"].to_pylist():
        assert why == (
            "transient: out of memory" if len(bad) > 1 else "KeyError: 'content of id32'"
        )
    assert len(runs) <= 2 + 2 * 6 * len(bad)  # six halvings of 33, and the harmless picture


def test_a_part_of_one_poison_image_is_a_failed_row():
    out = poison.in_process(deadly("content of id00")[0], Parameters(), {"images": listed(1)}, [])
    assert out.to_pylist()[0]["error"] == "KeyError: 'content of id00'"


def test_a_stage_that_fails_on_a_harmless_picture_too_is_found_out_soon():
    runs = []

    def run(inputs, parameters, models):
        runs.append(len(inputs["images"]))
        raise RuntimeError("the model is broken")

    with pytest.raises(RuntimeError, match="the model is broken"):
        poison.in_process(stage(run), Parameters(), {"images": listed(1000)}, [])
    assert len(runs) < 15


def test_objects_of_a_poison_image_keep_a_row_each():
    objects = tables.build(
        "objects",
        {
            "image_id": ["id00", "id00", "id01", "id02"],
            "object_no": [0, 1, 0, None],
            "phrase": ["a ball", "a table", "a ball", None],
        },
    )

    def run(inputs, parameters, models):
        if "content of id00" in inputs["images"]["sha256"].to_pylist():
            raise ValueError("cannot look for that")
        rows = inputs["objects"]
        return tables.build("regions", {n: rows[n] for n in ("image_id", "object_no")})

    made_up = Stage("made_up", 1, ("images", "objects"), "regions", Parameters, run)
    images = listed(3)
    out = poison.in_process(made_up, Parameters(), {"images": images, "objects": objects}, [])
    tables.check("regions", out)
    rows = [(row["image_id"], row["object_no"], row["error"]) for row in out.to_pylist()]
    why = "ValueError: cannot look for that"
    assert rows == [("id00", 0, why), ("id00", 1, why), ("id01", 0, None), ("id02", None, None)]


def test_a_user_error_is_not_taken_for_poison():
    def run(inputs, parameters, models):
        raise UserError("the model is missing")

    with pytest.raises(UserError, match="the model is missing"):
        poison.in_process(stage(run), Parameters(), {"images": IMAGES}, [])


def test_processes_that_die_on_images_cost_only_these(monkeypatch):
    """The halving over children, each a fork that the poison kills as a native crash would."""
    deaths, bad = [], {f"content of id{i:02}" for i in (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 15)}

    def forked(made_up, parameters, inputs, patience, share):
        pid = os.fork()
        if pid == 0:
            if bad & set(inputs["images"]["sha256"].to_pylist()):
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            deaths.append(pid)
            raise child.Died("the process ended with status -9 on this image: no message")
        return captions(inputs)

    monkeypatch.setattr(child, "run", forked)
    out = poison.in_child(poisoned(), Parameters(), {"images": listed(16)})
    assert out["image_id"].to_pylist() == IDS
    assert out.filter(out["error"].is_valid())["image_id"].to_pylist() == sorted(
        content.removeprefix("content of ") for content in bad
    )
    assert len(deaths) <= 4 * len(bad)
