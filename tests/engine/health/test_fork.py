"""The rest of a command in a fork: scripts, since a fork is made before anything large is here."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from pipeline.engine.health.fork import forked

assert np  # it is imported here


def begun(tmp_path, body, **options):
    """A process that forks; `body` is what it goes on with, and `over` as `forked` gave it."""
    script = tmp_path / "command.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "from pipeline.engine.health.fork import forked\n"
        "over = forked(lambda status: print('died', status, flush=True))\n"
        f"{body}\n"
    )
    return subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=tmp_path, **options
    )


def ended(process):
    said, _ = process.communicate(timeout=60)
    return process.returncode, said.split("\n")[:-1]


def test_nothing_is_forked_where_large_libraries_may_have_threads():
    died = []
    assert forked(died.append) is None
    assert died == []


@pytest.mark.parametrize("code", [0, 3])
def test_all_is_done_in_the_fork_which_gives_the_code(tmp_path, code):
    process = begun(tmp_path, f"print('here', os.getppid(), over is None); sys.exit({code})")
    assert ended(process) == (code, [f"here {process.pid} False"])


@pytest.mark.parametrize(
    ("deed", "status"),
    [("os.kill(os.getpid(), signal.SIGKILL)", -9), ("os.abort()", -6), ("os._exit(1)", 1)],
)
def test_a_fork_that_dies_leaves_the_rest_to_its_parent(tmp_path, deed, status):
    process = begun(tmp_path, f"if over: {deed}\nprint('here', os.getpid()); sys.exit(4)")
    assert ended(process) == (4, [f"died {status}", f"here {process.pid}"])


def test_what_happens_when_danger_is_over_is_not_done_twice(tmp_path):
    body = "print('done', flush=True); over(7); os.kill(os.getpid(), signal.SIGSEGV)"
    assert ended(begun(tmp_path, body)) == (7, ["done"])
    assert ended(begun(tmp_path, "raise ValueError", stderr=subprocess.DEVNULL)) == (1, [])


WAITS = """
try:
    print('waits', os.getpid(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)  # what is kept is written meanwhile
    print('kept', flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("group", [False, True])
def test_an_interruption_is_heard_once_however_it_comes(tmp_path, number, group):
    """A terminal's comes to both processes, that of `kill` to the parent, which passes it on."""
    process = begun(tmp_path, WAITS, start_new_session=True)
    assert process.stdout.readline().startswith("waits")
    (os.killpg if group else os.kill)(process.pid, number)
    assert ended(process) == (130, ["kept"])


def test_a_fork_ends_with_its_parent(tmp_path):
    process = begun(tmp_path, WAITS)
    child = psutil.Process(int(process.stdout.readline().split()[1]))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.stdout.close()
