"""Bytes that have changed in a cached part: every command says so, and what mends it."""

import shutil

import pytest

from tests.helpers.demo import LIMITED, QUICK

ADVICE = f"item verify demo {' '.join(LIMITED)} --fix"


@pytest.fixture
def flipped(part_of_demo, tmp_path):
    """The folder of a store with a part of captions whose pages, not its footer, are damaged."""
    made, _ = part_of_demo
    shutil.copytree(made / "store", tmp_path / "store")
    part = next((tmp_path / "store").glob("caption/*/part-*.parquet"))
    data = bytearray(part.read_bytes())
    data[60:3400] = bytes(3340)  # of ids and captions, compressed
    part.write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("query", "select * from captions"),
        ("query", "caption_confidence"),
        ("train", *QUICK),
        ("audit",),
        ("run", "--inline", "--no-report", *QUICK),
    ],
)
def test_it_is_told_with_what_mends_it(flipped, item, words):
    command, *more = words
    done = item(command, "demo", *more, *LIMITED, cwd=flipped)
    # a run with nothing to train meets it in its audit alone
    assert done.returncode == (0 if command == "run" else 2)
    assert "Traceback" not in done.stderr
    assert "a cached part cannot be read" in done.stderr and "part-0" in done.stderr
    given = [word for word in more if word.startswith("experiments.")]
    advice = ADVICE if not given else " --limit 96 --fix"
    assert advice in done.stderr


def test_what_is_made_by_the_way_says_it_too_and_the_advice_helps(flipped, item):
    features = ("run", "demo", *LIMITED, "--until", "features", "--inline")
    done = item(*features, cwd=flipped)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert done.stderr.count(ADVICE) >= 1 and "asks again" not in done.stderr
    assert item("verify", "demo", *LIMITED, "--fix", cwd=flipped).returncode == 0
    done = item(*features, cwd=flipped)
    assert done.returncode == 0 and ADVICE not in done.stderr
    assert item("query", "demo", "select * from captions", *LIMITED, cwd=flipped).returncode == 0
