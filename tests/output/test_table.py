"""Tables on a terminal: figures whole, columns chosen, and those that are left out named."""

import io
import re

import pyarrow as pa
import pytest
from rich.cells import cell_len

from pipeline.output.table import folded, lines, show

RESULTS = pa.table(
    {
        "method": ["global", "linear probe of spectrum"],
        "generator": ["gan (seen in training)", "mean of 3 unseen"],
        "ap [95 %]": ["0.974 [.962, .983]", "0.950 [.940, .959]"],
        "chance": ["0.616", "0.616"],
        "auroc": ["0.956", None],
        "accuracy [95 %]": ["0.885 [.854, .912]", "0.834 [.815, .852]"],
        "tnr": [0.7386, 0.5],
        "n": [487, 1461],
    }
)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_broken(width):
    shown = list(lines(RESULTS, width))
    table = shown[: next(at for at, line in enumerate(shown) if line.startswith("(2 rows)"))]
    assert max(map(cell_len, table)) <= max(width, 24)
    figures = {v for row in RESULTS.to_pylist() for v in row.values() if isinstance(v, str)}
    text = "\n".join(table)
    for figure in {f for f in figures if re.match(r"\d", f)}:
        column = next(k for k, v in RESULTS.to_pydict().items() if figure in v)
        header_is_there = column.split()[0] in text
        assert (figure in text) is header_is_there, (figure, text)


def test_what_is_left_out_is_named_and_what_comes_first_is_there():
    shown = list(lines(RESULTS, 80))
    left = next(line for line in shown if line.startswith("left out at this width: "))
    named = left.removeprefix("left out at this width: ").split(" (")[0].split(", ")
    header = " ".join(shown[0].split())
    for name in RESULTS.column_names:
        assert (name in named) is not (name.split()[0] in header.split()), (name, shown)
    assert "n" in "".join(lines(RESULTS, 50, ["method", "n"])).split("---")[0].split()
    assert not any("left out" in line for line in lines(RESULTS, 200))


def test_without_a_width_all_is_there_and_a_row_is_a_line():
    shown = list(lines(RESULTS))
    assert len(shown) == 5
    assert shown[0].split("  ")[0] == "method" and shown[2].split()[-1] == "487"


def test_characters_that_are_two_columns_wide_stand_straight():
    shown = list(lines(pa.table({"name": ["可灵", "abc"], "n": [1, 22]})))
    assert shown[2] == "可灵   1" and shown[3] == "abc   22"
    wide = list(lines(pa.table({"name": ["可灵" * 40], "n": [1]}), 30))
    assert max(map(cell_len, wide)) <= 30
    assert sum(line.count("可") for line in wide) == 40


def test_texts_fold_at_spaces_and_paths_of_prose_stay_whole():
    assert folded("one two three four five six", 20, "- ", "  ") == [
        "- one two three four",
        "  five six",
    ]
    path = "/a" * 40
    assert folded(f"saved in {path}", 30) == ["saved in", path]
    assert folded("a " * 100, None) == ["a " * 100]


def test_an_empty_table_and_one_without_columns():
    assert list(lines(pa.table({"a": pa.array([], pa.string())}), 80)) == ["a", "-", "(0 rows)"]
    stream = io.StringIO()
    show(pa.table({}), stream)
    assert "(0 rows)" in stream.getvalue()
