"""What a run says while it goes on: images of unfinished parts, loading, and how long it takes."""

import io

import pytest
from rich.console import Console

from pipeline.engine import progress
from pipeline.engine.progress import Reporter
from pipeline.engine.task import Receipt


@pytest.fixture
def said(monkeypatch):
    """A reporter that writes lines, its text, and a clock that the test turns."""
    clock = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    reporter = Reporter(Console(file=stream, width=200, soft_wrap=True, highlight=False))

    def turn(seconds):
        clock[0] += seconds
        return reporter

    def lines():
        found = stream.getvalue().splitlines()
        stream.truncate(0), stream.seek(0)
        return [" ".join(line.split()) for line in found]

    return turn, lines


def receipt(node, ok, failed=0):
    return Receipt(node, "part", ok + failed, ok, failed, 0, 0, 0, 0)


def test_an_unfinished_part_moves_and_its_end_is_foretold(said):
    turn, lines = said
    turn(0).node("captions", (0, 2), (0, 200))
    turn(11).going({}, ["captions"])
    assert lines() == [
        "captions 0/200 images, 0/2 parts 0 in, 0 ok, 0 failed (11 s, loading models)"
    ]
    turn(1).going({"captions": 10}, [])  # from here on 10 images take 10 s
    for count in range(2, 7):
        turn(10).going({"captions": 10 * count}, [])
    assert lines()[-1] == (
        "captions 60/200 images, 0/2 parts 0 in, 0 ok, 0 failed (62 s, about 2 min left)"
    )
    turn(38).part(receipt("captions", 99, 1), 100)
    assert "100/200 images, 1/2 parts 100 in, 99 ok, 1 failed (100 s" in lines()[-1]
    turn(100).part(receipt("captions", 100), 100)
    assert lines() == ["captions 2/2 parts 200 in, 199 ok, 1 failed (200 s)"]


def test_what_is_there_already_does_not_make_the_pace(said):
    turn, lines = said
    turn(0).node("captions", (9, 10), (900, 1000))
    turn(20).going({"captions": 10}, [])
    turn(40).going({"captions": 50}, [])
    assert lines()[-1].endswith("(60 s, about 50 s left)")


def test_a_node_that_is_done_says_so(said):
    turn, lines = said
    turn(0).node("captions", (2, 2), (200, 200))
    assert lines() == ["captions 2/2 parts are in the store"]
