"""Who has stalled, by a clock that the test sets."""

from pathlib import Path

import pytest

from pipeline.dag.graph import load
from pipeline.engine.health.watch import Watch
from pipeline.engine.health.workers import WorkerView
from pipeline.engine.task import Outcome, Receipt, Task


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def task(write_dag, fake_models):
    return Task(Path("store"), (load(str(write_dag(models=fake_models))).nodes["captions"],), "p")


@pytest.fixture
def clock():
    return Clock()


def view(heartbeat, running=None, processing=("k",), address="tcp://a:1"):
    return WorkerView(address, "0", "running", heartbeat, running or {}, tuple(processing))


def looks(watch, clock, task, views, step=10.0):
    """The reasons that the last of many looks gives, `step` seconds apart."""
    found = []
    for one in views:
        clock.now += step
        found = watch.look([one], {"k": task})
    return [(stall.key, stall.why) for stall in found]


def done(task, seconds):
    return Outcome((Receipt("captions", task.part, 1, 1, 0, 0.0, seconds, 0.0, 1),))


def test_a_task_that_gives_no_sign_has_stalled_after_the_stall_time(task, clock):
    watch = Watch(60.0, clock)
    views = [view(beat, {"k": (5, "captions", False)}) for beat in range(9)]
    assert looks(watch, clock, task, views[:7]) == []
    assert looks(watch, clock, task, views[7:]) == [("k", "no sign of life for 1m")]


def test_a_task_that_gives_signs_never_stalls_however_long_it_takes(task, clock):
    watch = Watch(60.0, clock)
    views = [view(0, {"k": (beat, "captions", False)}) for beat in range(100)]
    assert looks(watch, clock, task, views) == []


def test_a_task_that_waits_for_its_workers_thread_has_not_stalled(task, clock):
    watch = Watch(60.0, clock)
    views = [view(beat, {}, ("other", "k")) for beat in range(100)]
    assert looks(watch, clock, task, views) == []


def test_a_worker_that_fell_silent_before_it_said_what_it_runs_is_seen(task, clock):
    watch = Watch(60.0, clock)
    assert looks(watch, clock, task, [view(1.0)] * 7) == []
    assert looks(watch, clock, task, [view(1.0)]) == [("k", "no sign of life for 1m")]


def test_a_silent_worker_that_has_nothing_of_ours_is_left_alone(task, clock):
    watch = Watch(60.0, clock)
    assert looks(watch, clock, task, [view(1.0, processing=("theirs",))] * 100) == []


def test_a_part_that_takes_ten_times_its_forecast_and_falls_silent_is_late(task, clock):
    watch = Watch(600.0, clock)
    for seconds in (9.0, 50.0, 31.0):
        watch.finished(task, done(task, seconds))
    assert watch.forecast(task) == 31.0
    lively = [view(0, {"k": (beat, "captions", False)}) for beat in range(30)]  # 300 s
    assert looks(watch, clock, task, lively) == []
    silent = [view(0, {"k": (29, "captions", False)})] * 12
    assert looks(watch, clock, task, silent) == []
    assert looks(watch, clock, task, silent[:1]) == [
        ("k", "has run for 7m (others took 31s), and no sign of life for 2.17m")
    ]


def test_models_have_five_minutes_to_load_however_short_the_stall_time_is(task, clock):
    watch = Watch(10.0, clock)
    views = [view(beat, {"k": (1, "captions", True)}) for beat in range(40)]
    assert looks(watch, clock, task, views[:31]) == []
    assert looks(watch, clock, task, views[31:32]) == [("k", "its models were not loaded in 5m")]


def test_two_parts_make_no_forecast_and_half_a_task_teaches_nothing(task, clock):
    watch = Watch(600.0, clock)
    for _ in range(2):
        watch.finished(task, done(task, 1.0))
    watch.finished(task, Outcome((), (("captions", "ValueError: odd"),)))
    assert watch.forecast(task) is None


def test_who_was_stopped_himself_blames_nobody(task, clock):
    """As after Ctrl-Z and fg: the workers have had no time to give a sign yet."""
    watch = Watch(600.0, clock)
    looks(watch, clock, task, [view(1.0, {"k": (1, "captions", False)})] * 2)
    clock.now += 36000
    assert watch.look([view(1.0, {"k": (1, "captions", False)})], {"k": task}) == []


def test_off_means_never(task, clock):
    assert looks(Watch(None, clock), clock, task, [view(1.0, {"k": (1, "x", False)})] * 1000) == []
