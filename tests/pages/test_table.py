import pyarrow as pa

from pipeline.pages.table import ABSENT, table_of


def cells(table, column):
    return [(row[column].text, row[column].key) for row in table.cells]


def test_figures_are_sorted_by_their_value_and_stand_right():
    found = table_of(
        pa.table(
            {
                "ap [95 %]": ["0.981 [.970, .989]", "0.5 [.4, .6]*", None],
                "change": ["+0.070 [+.050, +.092]", "-0.1", "0.912 -> 0.899"],
                "n": [1_200, 7, None],
                "name": ["b", "10", "A"],
            }
        ),
        "the first is small",
    )
    assert found.about == "The first is small"
    assert list(found.right) == [True, True, True, False]
    assert cells(found, 0) == [
        ("0.981 [.970, .989]", 0.981),
        ("0.5 [.4, .6]*", 0.5),
        (ABSENT, ABSENT),
    ]
    assert [key for _, key in cells(found, 1)] == [0.07, -0.1, 0.912]
    assert found.cells[2][1].text == "0.912 \N{RIGHTWARDS ARROW} 0.899"
    assert cells(found, 2)[0] == ("1,200", 1200.0)
    assert [key for _, key in cells(found, 3)] == ["b", 10.0, "a"]


def test_columns_are_chosen_named_toned_and_noted():
    found = table_of(
        pa.table({"verdict": ["leak", "ok"], "x": [0.00001, 2.0], "z": [True, False]}),
        "",
        {"z": "sure", "verdict": "said", "x": "x"},
        shown={"z": lambda value: "!" if value else "?"},
        tones={"verdict": {"leak": "leak"}},
        notes={"verdict": [["why"], []]},
    )
    assert list(found.columns) == ["sure", "said", "x"]
    assert [cell.text for cell in found.cells[0]] == ["!", "leak", "1.0e-05"]
    assert [row[1].tone for row in found.cells] == ["leak", ""]
    assert found.cells[0][1].notes == ["why"]
    assert found.notes


def test_a_table_without_rows_has_its_columns():
    found = table_of(pa.table({"a": pa.array([], pa.int64())}), "none")
    assert (list(found.columns), found.cells, found.right) == (["a"], [], [False])
