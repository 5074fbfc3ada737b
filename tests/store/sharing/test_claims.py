"""Who has a part, where many runs share a store: exactly one, as long as it lives."""

import multiprocessing
import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from pipeline.errors import UserError
from pipeline.store.sharing import claims as claims_module
from pipeline.store.sharing import lease
from pipeline.store.sharing.claims import Claims, living, stopping

NODE, OTHER = "caption/0123456789abcdef", "embed_images/0123456789abcdef"
PART = "part-00003-0badcafe.parquet"
BEAT = 0.05
SLOW = 4 * BEAT  # of observers of who is alive: a busy machine delays beats


@pytest.fixture
def root(tmp_path):
    for folder in (NODE, OTHER):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def elsewhere(monkeypatch):
    """As if every run were on a machine of its own: nobody sees the others' locks."""
    monkeypatch.setattr(lease, "_kernel", lambda: "")


@contextmanager
def dead(root, folders=(NODE,), key=PART):
    """A run that claims a part, and then never does anything again."""
    run = Claims(root, beat=BEAT)
    run._lease.open()
    run._lease._closing.set()  # its beat stops
    run._lease._thread.join()
    assert run.take(folders, key) is None
    yield run
    os.close(run._lease._handle)


def listed(root, folder=NODE):
    return sorted(os.listdir(root / folder))


def take_within(run, seconds, folders=(NODE,), key=PART):
    """Seconds until a claim was got, looking again and again."""
    started = time.monotonic()
    while run.take(folders, key) is not None:
        assert time.monotonic() - started < seconds, "it was never free"
        time.sleep(BEAT / 5)
    return time.monotonic() - started


def test_of_two_runs_one_has_a_part_until_it_gives_it_back(root):
    with Claims(root) as one, Claims(root) as two:
        assert one.take([NODE], PART) is None
        holder = two.take([NODE], PART)
        assert holder.id == one.id
        assert holder.who.startswith(f"process {os.getpid()} on ")
        assert two.take([NODE], "part-00004-0badcafe.parquet") is None
        one.release([NODE], PART)
        assert two.take([NODE], PART) is None
        assert one.take([NODE], PART).id == two.id
    assert listed(root) == [] and os.listdir(root / ".leases") == []


def test_nothing_is_written_before_the_first_claim(root):
    with Claims(root):
        assert not (root / ".leases").exists()


def test_a_run_does_not_claim_a_part_twice(root):
    """As where two nodes have one recipe, and so one folder."""
    with Claims(root) as run:
        assert run.take([NODE, NODE], PART) is None
        assert run.take([NODE], PART).id == run.id


def test_several_nodes_are_claimed_together_or_not_at_all(root):
    with Claims(root) as one, Claims(root) as two:
        assert one.take([OTHER], PART) is None
        assert two.take([NODE, OTHER], PART).id == one.id
        assert listed(root, NODE) == []
        one.release([OTHER], PART)
        assert two.take([OTHER, NODE], PART) is None


def test_a_beat_keeps_a_claim_for_ever(root, elsewhere):
    with Claims(root, beat=BEAT) as one, Claims(root, beat=SLOW) as two:
        assert one.take([NODE], PART) is None
        deadline = time.monotonic() + 1.5 * lease.MISSED * SLOW
        while time.monotonic() < deadline:
            assert two.take([NODE], PART).id == one.id
            time.sleep(BEAT / 5)


def test_a_claim_expires_when_beats_are_missed_and_not_before(root, elsewhere):
    said = []
    with dead(root) as gone, Claims(root, said.append, beat=BEAT) as run:
        assert take_within(run, 5) >= lease.MISSED * BEAT
        assert said == [
            f"going on with what {gone._lease.who} had begun: it is no longer there",
        ]
        assert listed(root) == [f".claim-{PART}"]


@pytest.mark.parametrize("shift", [-86400 * 365, 86400 * 365])
def test_what_time_other_machines_think_it_is_does_not_matter(root, elsewhere, shift):
    def shifted(run):
        path = root / ".leases" / run.id
        os.utime(path, (time.time() + shift,) * 2)

    with Claims(root, beat=BEAT) as alive, Claims(root, beat=SLOW) as run:
        assert alive.take([NODE], PART) is None
        deadline = time.monotonic() + 1.5 * lease.MISSED * SLOW
        while time.monotonic() < deadline:
            shifted(alive)
            assert run.take([NODE], PART).id == alive.id
            time.sleep(BEAT / 5)
        with dead(root, [OTHER]) as gone:
            shifted(gone)
            assert take_within(run, 9, [OTHER]) >= lease.MISSED * SLOW


def test_a_store_that_did_not_answer_for_long_is_one_missed_beat(root, elsewhere):
    """Then the holder could not beat either."""
    with dead(root), Claims(root, beat=BEAT) as run:
        assert run.take([NODE], PART) is not None
        time.sleep(2 * lease.MISSED * BEAT)
        assert run.take([NODE], PART) is not None


def _race(root, start, answers):
    lease._kernel = lambda: ""
    with Claims(root, beat=SLOW) as run:
        start.wait()
        deadline = time.monotonic() + 2 * lease.MISSED * SLOW
        got = False
        while not got and time.monotonic() < deadline:
            got = run.take([NODE], PART) is None
        answers.put(got)
        start.wait()  # who has it keeps it until everybody has answered


def test_of_many_processes_one_takes_over_a_dead_runs_claim(root, elsewhere):
    context = multiprocessing.get_context("spawn")  # a fork of a process with OpenMP hangs
    with dead(root):
        start, answers = context.Barrier(4), context.Queue()
        runs = [context.Process(target=_race, args=(root, start, answers)) for _ in range(4)]
        for run in runs:
            run.start()
        found = [answers.get(timeout=60) for _ in runs]
        for run in runs:
            run.join(30)
    assert sorted(found) == [False] * 3 + [True]
    assert listed(root) == []


def test_of_many_threads_one_takes_over_each_of_many_claims(root, elsewhere):
    """Many times: who looks late must not remove the claim of who was quicker."""
    keys = [f"part-{number:05d}-0badcafe.parquet" for number in range(40)]
    gone = [dead(root, key=key) for key in keys]
    for one in gone:
        one.__enter__()
    winners: dict[str, list[str]] = {key: [] for key in keys}
    runs = [Claims(root, beat=SLOW) for _ in range(6)]
    start = threading.Barrier(len(runs))

    def race(run):
        start.wait()
        deadline = time.monotonic() + 9 * lease.MISSED * SLOW
        while time.monotonic() < deadline and any(not names for names in winners.values()):
            for key in keys:
                if run.take([NODE], key) is None:
                    winners[key].append(run.id)

    threads = [threading.Thread(target=race, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(names) for names in winners.values()] == [1] * len(keys)
    assert listed(root) == [f".claim-{key}" for key in keys]
    for run in [*runs, *gone]:
        run.__exit__(None, None, None) if isinstance(run, Claims) else next(run.gen, None)


def test_who_dies_in_the_midst_of_taking_over_is_taken_over_from(root, elsewhere):
    with dead(root) as first, dead(root, key=f"{PART}.of-{first.id}"):
        assert f".claim-{PART}.of-{first.id}" in listed(root)
        with Claims(root, beat=BEAT) as run:
            take_within(run, 5)
            assert listed(root) == [f".claim-{PART}"]


def test_a_claim_whose_maker_died_before_it_wrote_its_name_expires(root):
    (root / NODE / f".claim-{PART}").touch()
    with Claims(root, beat=BEAT) as run:
        assert take_within(run, 5) >= lease.MISSED * BEAT


def test_a_run_that_was_taken_for_dead_leaves_the_claim_of_its_successor(root, elsewhere):
    with dead(root) as slept, Claims(root, beat=BEAT) as run, Claims(root, beat=SLOW) as third:
        take_within(run, 5)
        slept.release([NODE], PART)
        assert third.take([NODE], PART).id == run.id


def _hold(root, ready):
    run = Claims(root)
    run.take([NODE], PART)
    (root / NODE / f".tmp-1-{PART}").write_text("half a part")
    (root / NODE / ".tmp-2-part-00009-0badcafe.parquet").write_text("half another")
    ready.set()
    time.sleep(60)


@pytest.fixture
def holder(root):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(root, ready), daemon=True)
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()


def test_a_killed_run_on_this_machine_is_known_to_be_dead_at_once(root, holder):
    with Claims(root) as run:
        found = run.take([NODE], PART)
        assert found.who.startswith(f"process {holder.pid} on ")
        os.kill(holder.pid, signal.SIGKILL)
        holder.join(10)
        assert run.take([NODE], PART) is None
        assert not (root / NODE / f".tmp-1-{PART}").exists()


def test_a_stopped_process_loses_its_claim_though_it_has_its_lock(root, holder):
    os.kill(holder.pid, signal.SIGSTOP)
    with Claims(root, beat=BEAT) as run:
        assert take_within(run, 5) >= lease.MISSED * BEAT


def test_sweeping_spares_what_a_living_run_writes(root, holder):
    with Claims(root) as run:
        run.sweep(NODE)
        assert listed(root) == [f".claim-{PART}", f".tmp-1-{PART}"]
        os.kill(holder.pid, signal.SIGKILL)
        holder.join(10)
        assert not run.took_over
        run.sweep(NODE)
        assert listed(root) == [] and run.took_over
        assert os.listdir(root / ".leases") == [run.id]


def test_a_lease_that_was_removed_by_hand_is_made_again(root, elsewhere):
    with Claims(root, beat=BEAT) as run:
        run.take([NODE], PART)
        (root / ".leases" / run.id).unlink()
        deadline = time.monotonic() + 5
        while not (root / ".leases" / run.id).exists() and time.monotonic() < deadline:
            time.sleep(BEAT)
        assert os.listdir(root / ".leases") == [run.id]


def test_others_are_counted_while_they_live(root):
    with Claims(root) as one:
        assert one.others() == 0
        with Claims(root) as two:
            assert (two.others(), one.others()) == (1, 1)
        assert one.others() == 0


def test_who_waits_to_write_alone_says_for_whom_and_leaves_when_it_is_to_stop(root, monkeypatch):
    monkeypatch.setattr(claims_module, "AGAIN", 0.05)
    said, stop = [], []
    with Claims(root) as one, Claims(root, said.append, lambda: bool(stop)) as two:
        with one.alone(NODE, "listing") as got:
            assert got
            threading.Timer(0.3, stop.append, [True]).start()
            with two.alone(NODE, "listing") as got:
                assert not got
        (line,) = said
        assert line.startswith(f"listing is being written by process {os.getpid()} on ")
        with two.alone(NODE, "listing") as got:
            assert got


def test_a_run_tells_its_workers_that_it_is_to_stop(root):
    stop = []
    with Claims(root, stopping=lambda: bool(stop), beat=60) as run:
        run.take([NODE], PART)
        assert not stopping(root, run.id)
        stop.append(True)
        deadline = time.monotonic() + 5
        while not stopping(root, run.id) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert stopping(root, run.id)
    assert not stopping(root, run.id)


def test_it_is_told_who_works_in_a_folder(root):
    with Claims(root) as run:
        run.take([NODE], PART)
        assert living(root, NODE).startswith(f"process {os.getpid()} on ")
        assert living(root, OTHER) is None
    assert living(root, NODE) is None


def test_on_another_machine_it_is_told_by_the_beat_who_works_in_a_folder(root, elsewhere):
    with Claims(root, beat=BEAT) as run:
        run.take([NODE], PART)
        assert living(root, NODE, beat=BEAT).startswith(f"process {os.getpid()} on ")
        with dead(root, [OTHER]):
            assert living(root, OTHER, beat=BEAT) is None


def test_a_folder_that_is_gone_is_a_users_error(root):
    with Claims(root) as run, pytest.raises(UserError, match=f"cannot claim {PART}: No such file"):
        run.take(["caption/none"], PART)
