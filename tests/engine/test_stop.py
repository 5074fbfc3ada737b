"""A run that is told to stop commits what it has begun, and the next one goes on from there."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from pipeline.dag.graph import load
from pipeline.engine import stop as stops
from pipeline.engine.stop import Stop, Stopped, stopping
from pipeline.store.parts import Store
from tests.helpers import pixels


def vectors(store):
    """The parts of images' vectors that are there."""
    return [
        p for stage in ("embed_images", "pixels") for p in store.glob(f"{stage}/*/part-*.parquet")
    ]


@pytest.fixture
def slow(corpus, tmp_path):
    """A DAG of twelve parts, each of which takes a while."""
    return pixels.write_dag(tmp_path / "small.yaml", corpus, part_size=1, seconds=0.2)


def start(path, store, *options, cwd):
    """`item run` in a session of its own, when its first vectors are there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", str(path), "--store", str(store), *options],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and not vectors(store):
        time.sleep(0.02)
    return process


def ended(process):
    """(exit code, stdout, stderr), in which there is no traceback."""
    stdout, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr, stderr
    return process.returncode, stdout, stderr


def command_that_goes_on(stderr):
    (line,) = [line for line in stderr.splitlines() if "go on with: " in line]
    return shlex.split(line.split("go on with: ")[1])


def committed(dag, store):
    """Of each node of the joint pass, the parts that are there."""
    names = ("captions", "objects", "regions", "image_embeddings", "object_embeddings")
    return [{p.name for p in store.parts(dag.nodes[name])} for name in names]


def test_sigterm_commits_the_joint_pass_that_goes_on_and_no_other(write_dag, tmp_path):
    path, store = write_dag(part_size=1), tmp_path / "stopped"
    process = start(path, store, "--inline", "--json", cwd=tmp_path)
    process.terminate()
    code, stdout, stderr = ended(process)
    assert code == 0, stderr
    assert "SIGTERM: no new part is begun, those in flight are finished" in stderr
    go_on = ["item", "run", str(path), "--store", str(store), "--inline", "--json"]
    assert command_that_goes_on(stderr) == go_on
    answer = json.loads(stdout)
    assert shlex.split(answer["facts"]["go_on"]) == go_on
    assert answer["tables"]["runs"] == [] and answer["exit"] == 0
    found = committed(load(str(path)), Store(store))
    assert 1 <= len(found[0]) < 12 and all(parts == found[0] for parts in found)
    assert [p.name for p in store.rglob(".*")] == [".leases"] and not any(store.glob(".leases/*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_all_processes_of_a_job_ends_it_well(slow, tmp_path, number):
    path, store = slow, tmp_path / "stopped"
    options = ("--until", "image_embeddings", "--workers", "1")
    process = start(path, store, *options, cwd=tmp_path)
    os.killpg(process.pid, number)
    code, _, stderr = ended(process)
    assert code == 0, stderr
    assert f"stopped ({signal.Signals(number).name})" in stderr
    assert "was not computed" not in stderr and "worker" not in stderr.split("go on with")[0]
    assert 1 <= len(vectors(store)) < 12
    assert command_that_goes_on(stderr) == [
        "item",
        "run",
        str(path),
        "--store",
        str(store),
        *options,
    ]


def test_a_second_sigterm_stops_at_once_and_the_next_run_goes_on(slow, item, tmp_path):
    path, store = slow, tmp_path / "stopped"
    options = ("--inline", "--until", "image_embeddings")
    process = start(path, store, *options, cwd=tmp_path)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    code, *_ = ended(process)
    assert code in (0, 130)  # 0 where the two came at once, and counted as one
    assert not any(store.glob("*/*/.claim-*"))
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*.parquet")}
    last = item("run", path, "--store", store, *options, cwd=tmp_path)
    assert last.returncode == 0 and "go on" not in last.stderr, last.stderr
    assert len(vectors(store)) == 12
    assert before.items() <= {p: p.stat().st_mtime_ns for p in store.rglob("*.parquet")}.items()


def test_max_hours_begins_nothing_later_and_says_how_to_go_on(slow, item, item_process, tmp_path):
    path = slow
    options = ("--inline", "--until", "image_embeddings", "--store", "s", "--max-hours", "1e-09")
    answer = item_process("run", path, *options, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "--max-hours 1e-09: no new part is begun" in answer.stderr
    assert command_that_goes_on(answer.stderr) == ["item", "run", str(path), *options]
    assert not any((tmp_path / "s").rglob("*.parquet"))
    longer = item("run", path, *options[:-1], "1", cwd=tmp_path)
    assert longer.returncode == 0 and "go on" not in longer.stderr, longer.stderr
    assert len(vectors(tmp_path / "s")) == 12
    for hours in ("0", "-1", "nan"):
        wrong = item("run", path, "--max-hours", hours, cwd=tmp_path)
        assert wrong.returncode == 2 and "--max-hours" in wrong.stderr
        assert f"in {hours} hours no part is begun" in wrong.stderr


def test_hours_are_counted_from_the_start(monkeypatch, capfd):
    now = [100.0]
    monkeypatch.setattr(stops, "monotonic", lambda: now[0])
    stop = Stop(0.5)
    assert not stop.asked()
    now[0] += 1801
    assert stop.asked() and stop.asked() and stop.why == "--max-hours 0.5"
    assert capfd.readouterr().err.count("--max-hours 0.5: no new part is begun") == 1


def test_signals_ask_once_and_interrupt_when_sigterm_comes_again(capfd):
    before = signal.getsignal(signal.SIGTERM)
    with stopping(None) as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.asked() and stop.why == "SIGUSR1"
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.why == "SIGUSR1"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert capfd.readouterr().err.count("no new part") == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_while_heads_are_trained_a_signal_ends_that_at_once():
    with stopping(None) as stop:
        with pytest.raises(Stopped), stop.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked() and stop.why == "SIGTERM"


def test_a_run_that_waits_for_anothers_index_can_be_stopped(write_dag, tmp_path):
    path, store = write_dag(), tmp_path / "s"
    dag, cache = load(str(path)), Store(store)
    cache.create()
    cache.open_node(dag.nodes["listing"], "small")
    with cache.claiming() as claims, claims.alone(dag.nodes["listing"].folder, "listing"):
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", str(path), "--inline", "--store", str(store)],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in process.stderr:
            if "listing is being written by process" in line:
                assert f"process {os.getpid()} on " in line
                break
        process.terminate()
        rest = process.stderr.read()
        assert process.wait(30) == 0
        assert "stopped (SIGTERM); go on with: item run" in rest


def test_hours_that_end_while_heads_are_trained_end_that_at_once(capfd):
    hours = 0.2 / 3600
    with stopping(hours) as stop, pytest.raises(Stopped), stop.at_once():
        time.sleep(30)
    assert stop.why == f"--max-hours {hours:g}"
    with stopping(hours) as stop, stop.at_once():
        pass
    time.sleep(0.3)  # nothing strikes when it is over


def test_a_second_ctrl_c_does_not_interrupt_what_closes(request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    closed = []

    def close():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        closed.append(True)

    with pytest.raises(KeyboardInterrupt), stops.closed_in_peace() as stack:
        stack.callback(close)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    assert closed == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
