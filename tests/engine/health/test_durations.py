"""Durations as people type and read them."""

import pytest

from pipeline.engine.health import durations
from pipeline.errors import UserError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("2h", 7200), ("1.5H", 5400), (" 90 s ", 90), ("off", None)],
)
def test_a_number_and_its_unit_are_seconds(text, seconds):
    assert durations.parse(text, "--stall") == seconds


@pytest.mark.parametrize("text", ["10", "", "m", "-5m", "0s", "0.5s", "10 minutes", "1d", "nan s"])
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(UserError, match=r"is no duration\n  where: --stall\n  next: .* 30s, 10m"):
        durations.parse(text, "--stall")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.25, "0.25s"), (45, "45s"), (600, "10m"), (5400, "1.5h")]
)
def test_words_are_what_parse_reads(seconds, words):
    assert durations.words(seconds) == words
