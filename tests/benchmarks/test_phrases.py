import json
import sys
from math import isnan

from pipeline.models.parser.parser import BUNDLED
from tests.benchmarks import phrases

GOLD = [
    {"caption": "a cat on a rug", "phrases": [["cat", "cat"], ["rug", "rug"]], "half": "dev"},
    {"caption": "two cats", "phrases": [["cats", "kitten"], ["hat", "hat"]], "half": "final"},
    {"caption": "it rains", "phrases": []},
]


def test_repeated_phrases_count_each():
    score = phrases.score([["a", "a", "b"], ["c"]], [["a", "b", "b"], []])
    assert (score.right, score.found, score.gold) == (2, 3, 4)
    assert (score.precision, score.recall) == (2 / 3, 0.5)


def test_a_gold_file_scored_with_the_bundled_parser(tmp_path, monkeypatch, capsys):
    file = tmp_path / "gold.jsonl"
    file.write_text("\n".join(map(json.dumps, GOLD)))
    assert len(phrases.read(file)) == 3
    assert [one.caption for one in phrases.read(file, "final")] == ["two cats"]
    monkeypatch.setattr(sys, "argv", ["phrases", str(file), "--show"])
    phrases.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["two cats", "  missing [('cats', 'kitten'), ('hat', 'hat')]"]
    assert f"3 captions, {BUNDLED}" in lines
    counts = "(3 right, 3 found, 4 in the gold)"
    assert f"{'phrases':20} precision 1.000, recall 0.750 {counts}" in lines
    assert any(line.startswith("head lemmas") and "(2 right, 3 found" in line for line in lines)


def test_nothing_found_is_no_figure():
    assert isnan(phrases.score([["a"]], [[]]).precision)
    assert phrases.score([["a"]], [[]]).recall == 0
