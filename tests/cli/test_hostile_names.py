"""Names of files and folders that a terminal would obey: shown, and never sent to it."""

import pytest

from tests.conftest import draw

WIPE = "\x1b[2J\x1b]0;owned\x07"


@pytest.fixture
def dag(tmp_path):
    """A generator, a class and files with such names; one of them is no image."""
    root = tmp_path / "corpus"
    for number in range(3):
        draw(root / f"g{WIPE}" / f"c{WIPE}" / "0_real" / f"{WIPE}{number}.jpg", number)
        draw(root / f"g{WIPE}" / f"c{WIPE}" / "1_fake" / f"\u202egpj{number}.jpg", 10 + number)
    (root / f"g{WIPE}" / f"c{WIPE}" / "1_fake" / f"{WIPE}.jpg").write_bytes(b"no image")
    (root / f"other{WIPE}.jpg").write_bytes(b"fits no layout")
    path = tmp_path / "odd.yaml"
    path.write_text(f"name: odd\ncorpus: {{root: {root}, layout: forensynths}}\nnodes: {{}}\n")
    return path


def test_no_command_sends_them_to_the_terminal(dag, item, tmp_path):
    said = ""
    for command in (
        *(("plan", dag), ("run", dag, "--inline"), ("status", dag), ("doctor", dag)),
        *(("query", dag, name) for name in ("failed_rows", "failure_causes", "duplicates")),
        *(("query", dag, "from listing"), ("audit", dag), ("verify", dag)),
        *(("run", dag, "--inline", "--set", "corpus.layout=genimage"), ("query", dag, f"x{WIPE}")),
    ):
        done = item(*command, cwd=tmp_path)
        assert done.returncode in (0, 1, 2), done.stderr
        for text in (done.stdout, done.stderr):
            assert not set(text) & set("\x1b\x07\u202e"), command
        said += done.stdout + done.stderr
    assert "\\x1b[2J\\x1b]0;owned\\x070.jpg" in said  # whole, to be found again
    assert "g\\x1b[2J" in said
    csv = item("query", dag, "from listing", "--format", "csv", cwd=tmp_path)
    assert WIPE in csv.stdout  # for programs the name is what it is
