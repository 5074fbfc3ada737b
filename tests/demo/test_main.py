"""The build command: order of steps, resume, and a message for a wrong step."""

import json

import pytest

from pipeline.demo.__main__ import Step, main, order, run


@pytest.fixture()
def chain(tmp_path):
    """Three steps in a row that write down when they run, and that list."""
    done = []

    def make(name):
        def work():
            done.append(name)
            (tmp_path / name).write_text("x")

        return work

    steps = {
        "last": Step(make("last"), tmp_path / "last", ("middle",)),
        "middle": Step(make("middle"), tmp_path / "middle", ("first",)),
        "first": Step(make("first"), tmp_path / "first"),
    }
    return steps, done


def test_needs_come_first(chain):
    assert order(chain[0], None) == ["first", "middle", "last"]
    assert order(chain[0], "middle") == ["first", "middle"]


def test_finished_steps_are_not_done_again(chain, tmp_path):
    steps, done = chain
    run(steps, tmp_path, 0, "middle", False)
    run(steps, tmp_path, 0, None, False)
    assert done == ["first", "middle", "last"]
    times = json.loads((tmp_path / "times.json").read_text())
    assert set(times) == set(steps)
    assert all(entry["seed"] == 0 and entry["seconds"] >= 0 for entry in times.values())


def test_a_lost_artefact_another_seed_or_force_do_it_again(chain, tmp_path):
    steps, done = chain
    run(steps, tmp_path, 0, None, False)
    (tmp_path / "middle").unlink()
    run(steps, tmp_path, 0, None, False)
    assert done[3:] == ["middle"]
    run(steps, tmp_path, 0, "first", True)
    assert done[4:] == ["first"]
    run(steps, tmp_path, 1, None, False)
    assert done[5:] == ["first", "middle", "last"]


def test_unknown_step_is_a_usage_error(tmp_path, capsys):
    assert main(["build", "--work", str(tmp_path), "--only", "clap"]) == 2
    assert "unknown step 'clap'" in capsys.readouterr().err


def test_parser_without_a_treebank_says_what_to_add(tmp_path, capsys):
    given = ["build", "--work", str(tmp_path), "--out", str(tmp_path), "--only", "parser"]
    assert main(given) == 2
    assert "--treebank" in capsys.readouterr().err
