"""Signs of life: who gives them, who sees them, and where a task is when it gives none."""

import threading
import time

import pytest

from pipeline import pulse
from pipeline.corpus.sources import read


def test_beats_are_counted_for_the_task_of_the_thread():
    with pulse.task("one"):
        pulse.beat()
        pulse.node("captions")
        pulse.beat()
        assert pulse.signs() == {"one": (3, "captions", False)}
    assert pulse.signs() == {}


def test_a_thread_without_a_task_marks_nothing():
    with pulse.task("one"):
        thread = threading.Thread(target=pulse.beat)
        thread.start()
        thread.join()
        assert pulse.signs() == {"one": (0, "", False)}
    pulse.beat()
    pulse.node("captions")
    assert pulse.signs() == {}


def test_two_tasks_in_threads_of_one_process_are_told_apart():
    ready, over = threading.Barrier(2), threading.Event()

    def other():
        with pulse.task("two"):
            pulse.node("objects")
            ready.wait()
            over.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    with pulse.task("one"):
        ready.wait()
        pulse.beat()
        assert pulse.signs() == {"one": (1, "", False), "two": (1, "objects", False)}
    over.set()
    thread.join()


def test_a_task_ends_with_its_block_however_it_ends():
    with pytest.raises(ValueError, match="odd"), pulse.task("one"):
        raise ValueError("odd")
    assert pulse.signs() == {}


def test_the_stack_shows_our_frames_and_what_they_wait_in(monkeypatch):
    over, began = threading.Event(), threading.Event()

    def wait(mode):
        began.set()
        over.wait(10)
        return True

    monkeypatch.setattr(read.stat, "S_ISREG", wait)

    def hangs():
        with pulse.task("one"):
            read.read_bytes(__file__)

    thread = threading.Thread(target=hangs)
    thread.start()
    began.wait(10)
    time.sleep(0.05)
    found = pulse.stack("one")
    over.set()
    thread.join()
    frames = [frame.split()[-1] for frame in found.split("; beside it ")[0].split(" < ")]
    assert frames == ["wait", "_check_regular", "_opened", "_read_local", "read"]
    assert " < read.py:" in found
    assert pulse.stack("one") is None


def test_the_stack_shows_the_threads_that_decode_beside_the_task(monkeypatch):
    over, began = threading.Event(), threading.Event()
    monkeypatch.setattr(read.stat, "S_ISREG", lambda mode: began.set() or over.wait(10))

    def works():
        helper = threading.Thread(target=read.read_bytes, args=(__file__,))
        helper.start()
        with pulse.task("one"):
            helper.join()

    thread = threading.Thread(target=works)
    thread.start()
    began.wait(10)
    time.sleep(0.05)
    found = pulse.stack("one")
    over.set()
    thread.join()
    assert "_read_local" in found


def test_a_beat_costs_less_than_a_microsecond_or_so():
    with pulse.task("one"):
        started = time.perf_counter()
        for _ in range(10_000):
            pulse.beat()
        assert (time.perf_counter() - started) / 10_000 < 5e-6
