import json
from collections import namedtuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.rows.selection import select
from pipeline.head.run import run_experiment
from pipeline.head.vectors import spill
from pipeline.head.vectors.matrices import needed
from pipeline.head.vectors.memory import parse
from pipeline.head.vectors.row_reader import InMemory
from pipeline.head.vectors.sides import Held, samples
from pipeline.head.vectors.spill import Spilled
from pipeline.head.vectors.stream import Streamed

EXPERIMENT = Experiment(
    train="generator = 'gan' and split = 'train'",
    test="split = 'test'",
    allow_overlap=True,
    features=("global", "local", "scalars"),
    head={"hidden": [16], "epochs": 8, "least_steps": 1, "batch_size": 32, "learning_rate": 0.01},
    neighbours_among=100,
    bootstrap=200,
)
SMALL = 1_300_000  # bytes; the vectors take 1.8 MB
SIDES = ("train", "validation", "test")


@pytest.fixture
def connection(content, store):
    """2,400 images of which 80 are tested in two generators."""
    made = content(width=32, num=200, shift=0.5)
    ids = made.listing["image_id"]
    flow, vae = slice(2000, 2080), slice(1200, 1280)  # real test images
    ids[flow] = ids[vae]
    return store(made)


@pytest.fixture
def both(connection):
    """The samples in memory and those in files."""
    selection = select(connection, EXPERIMENT, "x")
    with (
        samples(connection, selection, EXPERIMENT, 10**9, print) as held,
        samples(connection, selection, EXPERIMENT, SMALL, print) as spilled,
    ):
        yield held, spilled


def everything(source):
    return np.concatenate([block.numpy().copy() for block in source.blocks()])


def test_what_fits_is_held_and_what_does_not_is_spilled(both):
    held, spilled = both
    assert (type(held), type(spilled)) == (Held, Spilled)
    assert isinstance(held.take(("global", "local"), "test"), InMemory)
    assert isinstance(spilled.take(("global", "local"), "test"), Streamed)
    assert isinstance(spilled.take(("cosine_global",), "test"), InMemory)  # small enough


@pytest.mark.parametrize("side", SIDES)
def test_files_hold_what_memory_holds_to_the_last_bit(both, side):
    held, spilled = both
    for names in [*((name,) for name in needed(EXPERIMENT)), ("local", "scalars", "global")]:
        expected = held.take(names, side)
        found = spilled.take(names, side)
        assert sorted(found.order) == list(range(len(expected)))
        assert np.array_equal(everything(found), everything(expected)[found.order])


def test_answers_come_back_to_the_sides_rows(both, connection):
    held, _ = both
    rows = select(connection, EXPERIMENT, "x").test.table.num_rows
    answers = []
    for one in both:
        source = one.take(("global", "local"), "test")
        answers.append(one.spread("test", source, everything(source).sum(axis=1)))
    assert len(answers[0]) == rows == 1200
    assert len(held.take(("global",), "test")) == 1120  # images
    assert np.array_equal(*answers)


@pytest.mark.parametrize(
    ("memory", "changes"),
    [
        (SMALL, {}),
        (
            3_500_000,
            {
                "representation": "concat",
                "pooling": "max_norm",
                "test": "split = 'test' or generator <> 'gan'",
            },
        ),
    ],
)
def test_streaming_measures_what_memory_measures(connection, tmp_path, memory, changes):
    experiment = EXPERIMENT.model_copy(update=changes)
    lines: list[str] = []

    def run(name, memory):
        out = tmp_path / name
        return run_experiment(connection, experiment, "x", out, {}, lines.append, memory=memory)

    held, streamed = run("held", 10**9), run("streamed", memory)
    assert sum("streaming: the vectors would take" in line for line in lines) == 1
    assert held.run_id == streamed.run_id
    tables = [pq.read_table(result.folder / "metrics.parquet") for result in (held, streamed)]
    for one, other in zip(*(table.to_pylist() for table in tables), strict=True):
        assert [one[k] for k in ("method", "generator", "n")] == [
            other[k] for k in ("method", "generator", "n")
        ]
        if one["method"] in (
            "linear probe",
            "pair probe",
            "caption text",
            "cosine",
            "metadata",
            "k-NN",
        ):
            assert other["ap"] == pytest.approx(one["ap"], abs=2e-3)
        elif one["scope"] == "generator":  # heads, which met the images in another order
            assert one["ap_low"] <= other["ap"] <= one["ap_high"]
    again = run("again", memory)
    assert pq.read_table(again.folder / "metrics.parquet").equals(tables[1])
    for name in ("predictions", "curves"):
        first, second = (pq.read_table(r.folder / f"{name}.parquet") for r in (streamed, again))
        assert first.equals(second)
    assert "streaming" not in json.dumps(json.loads((held.folder / "head.json").read_text()))


def test_too_little_memory_says_the_least_that_does(connection):
    selection = select(connection, EXPERIMENT, "x")
    with (
        pytest.raises(UserError, match="too little memory to stream in") as caught,
        samples(connection, selection, EXPERIMENT, 1000, print),
    ):
        pass
    assert caught.value.where == "--memory"
    least = caught.value.hint.split()[2]
    with samples(connection, selection, EXPERIMENT, parse(least), print) as enough:
        assert isinstance(enough, Spilled)
    with (
        pytest.raises(UserError, match="too little"),
        samples(connection, selection, EXPERIMENT, int(parse(least) * 0.98), print),
    ):
        pass


def test_a_disk_without_room_is_an_error(connection, monkeypatch):
    selection = select(connection, EXPERIMENT, "x")
    usage = namedtuple("Usage", "total used free")(1, 1, 1000)
    monkeypatch.setattr(spill.shutil, "disk_usage", lambda folder: usage)
    with (
        pytest.raises(UserError, match=r"needs .* of disk, and 1KB are free(?s:.*)TMPDIR"),
        samples(connection, selection, EXPERIMENT, SMALL, print),
    ):
        pass


def test_temporary_files_are_gone_afterwards(connection, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    selection = select(connection, EXPERIMENT, "x")
    with samples(connection, selection, EXPERIMENT, SMALL, print):
        (folder,) = tmp_path.glob("item-train-*")
        assert 320 * 32 * 2 in {path.stat().st_size for path in folder.glob("train.*")}
    with (
        pytest.raises(ZeroDivisionError),
        samples(connection, selection, EXPERIMENT, SMALL, print),
    ):
        1 / 0  # noqa: B018
    assert not list(tmp_path.glob("item-train-*"))


def test_k_nn_says_what_it_looks_among(connection, tmp_path):
    result = run_experiment(connection, EXPERIMENT, "x", tmp_path, {})
    assert "training: k-NN looks among 100 of 320 images (`neighbours_among`)" in result.notes
    assert "k-NN looks among 100" in (result.folder / "model_card.md").read_text()
