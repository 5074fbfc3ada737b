import csv
import io
import json
import os
import pty
import stat
import subprocess
import sys
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from threading import Thread

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.output.formats import SUFFIXES, chosen, deliver, write

LONG = "a very long caption about " + "many things and " * 9 + "the end"
TABLE = pa.table(
    {
        "name": ["first", 'se,cond "q"', None],
        "count": pa.array([1, 20, None], pa.int64()),
        "cosine": pa.array([0.123456, float("nan"), None], pa.float32()),
        "fake": [True, False, None],
        "when": [datetime(2026, 1, 2, 3, 4, 5), None, None],
    }
)


def text(table, format):
    stream = io.StringIO()
    write(table, format, stream)
    return stream.getvalue()


def on_terminal(table, format="table"):
    """What a terminal of 80 columns shows."""
    leader, follower = pty.openpty()
    shown = []

    def read():
        with suppress(OSError):  # the terminal's other end is closed: all is read
            while True:
                shown.append(os.read(leader, 4096))

    reader = Thread(target=read)
    reader.start()
    with os.fdopen(follower, "w") as stream:
        try:
            write(table, format, stream)
        except UserError as error:
            stream.write(str(error))
    reader.join()
    os.close(leader)
    return b"".join(shown).decode()


def test_plain_table():
    assert text(TABLE, "table").splitlines() == [
        "name         count  cosine  fake   when",
        "-----------  -----  ------  -----  -------------------",
        "first            1  0.1235  true   2026-01-02T03:04:05",
        'se,cond "q"     20     nan  false  -',
        "-                -       -  -      -",
        "(3 rows)",
    ]


def test_plain_table_without_rows():
    assert text(TABLE.slice(0, 0), "table").splitlines()[2:] == ["(0 rows)"]


def test_what_is_no_terminal_gets_a_line_a_row():
    captions = [LONG, "two\nlines", "no"] * 500
    shown = text(pa.table({"caption": captions, "n": range(1500)}), "table").splitlines()
    assert len(shown) == 2 + 1500 + 1
    assert [line.rsplit(None, 1)[0] for line in shown[2:5]] == [LONG, "two\\nlines", "no"]


def test_floats_are_readable():
    values = [0.0, 0.5, -12.3456789, 1234567.89, 1e-7, 2.5e12, float("inf")]
    shown = text(pa.table({"x": values}), "table").split()[2:-2]
    assert shown == ["0", "0.5000", "-12.3457", "1234567.9", "1.000e-07", "2.500e+12", "inf"]


def test_vectors_show_their_length():
    shown = text(pa.table({"v": [[0.5] * 768], "w": [[1, 2]]}), "table").splitlines()[2]
    assert shown == "[0.5000, 0.5000, 0.5000, … 768 values]  [1, 2]"


def test_terminal_table_folds_and_keeps_markup_and_every_character():
    shown = on_terminal(pa.table({"caption": [f"[red]{LONG.replace(' ', '_')}"], "n": [1]}))
    cells = "".join(line.split("  ")[0].strip() for line in shown.splitlines()[2:])
    assert f"[red]{LONG.replace(' ', '_')}" in cells
    assert "(1 row)" in shown


def test_terminal_table_says_what_it_does_not_show():
    shown = on_terminal(pa.table({"n": range(1_003)}))
    assert "(1,003 rows): the first 1,000 shown; --out FILE gives all" in shown


def test_csv():
    assert text(TABLE, "csv").splitlines() == [
        "name,count,cosine,fake,when",
        "first,1,0.12345600128173828,True,2026-01-02T03:04:05",
        '"se,cond ""q""",20,nan,False,',
        ",,,,",
    ]
    assert text(pa.table({"v": [[0.5, None]], "s": [{"a": 1}]}), "csv").splitlines()[1] == (
        '"[0.5, null]","{""a"": 1}"'
    )


def test_json_is_valid_json():
    assert json.loads(text(TABLE, "json")) == [
        {
            "name": "first",
            "count": 1,
            "cosine": pytest.approx(0.123456),
            "fake": True,
            "when": "2026-01-02T03:04:05",
        },
        {"name": 'se,cond "q"', "count": 20, "cosine": None, "fake": False, "when": None},
        {"name": None, "count": None, "cosine": None, "fake": None, "when": None},
    ]


def test_json_of_other_kinds_of_value():
    table = pa.table(
        {
            "v": [[1.5, float("inf")]],
            "d": [date(2026, 1, 2)],
            "n": [Decimal("12.50")],
            "i": [Decimal(2**100)],
            "b": [b"\x00\xff"],
            "s": [{"a": float("nan")}],
        }
    )
    assert json.loads(text(table, "json")) == [
        {"v": [1.5, None], "d": "2026-01-02", "n": 12.5, "i": 2**100, "b": "00ff", "s": {"a": None}}
    ]


def test_json_without_rows_and_with_equal_names():
    assert json.loads(text(TABLE.slice(0, 0), "json")) == []
    twice = pa.table([[1], [2]], names=["n", "n"])
    assert json.loads(text(twice, "json")) == [{"n": 1, "n_2": 2}]


def test_parquet_and_binary_streams(tmp_path):
    for format in ("parquet", "csv", "json"):
        deliver(TABLE.drop_columns(["cosine"]), format, tmp_path / f"out.{format}")
    assert pq.read_table(tmp_path / "out.parquet").equals(TABLE.drop_columns(["cosine"]))
    assert (tmp_path / "out.csv").read_bytes().startswith(b"name,count,fake,when\nfirst,1,")
    assert json.loads((tmp_path / "out.json").read_text())[0]["count"] == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_parquet_goes_to_the_binary_side_of_a_text_stream():
    binary = io.BytesIO()
    stream = io.TextIOWrapper(binary)
    write(TABLE, "parquet", stream)
    assert pq.read_table(io.BytesIO(binary.getvalue())).num_rows == 3


def test_parquet_on_a_terminal_is_refused():
    assert "--out FILE" in on_terminal(TABLE, "parquet")


def test_unknown_format():
    with pytest.raises(UserError, match="no format 'parqet'") as caught:
        chosen("parqet", None)
    assert caught.value.hint == "did you mean 'parquet'?"


@pytest.mark.parametrize(("suffix", "format"), [*SUFFIXES.items(), (".CSV", "csv")])
def test_a_files_suffix_says_the_format(tmp_path, suffix, format):
    out = tmp_path / f"x{suffix}"
    assert chosen(None, out) == chosen(format, out) == format
    deliver(pa.table({"n": [1]}), format, out)
    start = {"csv": b"n\n1\n", "json": b'[\n {"n": 1}\n]\n', "md": b"| n |\n| ---: |\n| 1 |\n"}
    start |= {"parquet": b"PAR1", "table": b"n\n-\n1\n(1 row)\n"}
    assert out.read_bytes().startswith(start[format])


def test_a_format_and_another_suffix_disagree(tmp_path):
    with pytest.raises(UserError, match="--format csv and the suffix of the file disagree"):
        chosen("csv", tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"the suffix '\.xlsx' names no format") as caught:
        chosen(None, tmp_path / "x.xlsx")
    assert ".csv, .json, .md, .parquet, .txt" in caught.value.hint
    assert chosen("csv", tmp_path / "x.dat") == "csv"
    assert chosen(None, None) == "table"


def test_what_parquet_has_no_type_for_is_said(tmp_path):
    table = duckdb.sql("select interval '3 months' as i").to_arrow_table()
    with pytest.raises(UserError, match="Parquet cannot hold this") as caught:
        deliver(table, "parquet", tmp_path / "x.parquet")
    assert "varchar" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_device_stays_one(tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    got = []
    reader = Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    deliver(pa.table({"n": [1]}), "csv", fifo)
    reader.join()
    assert got == [b"n\n1\n"] and stat.S_ISFIFO(fifo.stat().st_mode)


def test_moments_that_python_has_not():
    """DuckDB's years go further than Python's; nanoseconds need pandas, which may not be there."""
    sql = """select * from (values
        (timestamp '290000-01-02 03:04:05.5', date '290000-01-02', timestamptz '2026-01-02 00:00Z'),
        (timestamp '-290000-01-02', date '-4000-12-31', timestamptz '27000-01-02 00:00Z'),
        (timestamp 'infinity', date 'infinity', null), (null, date '-infinity', null),
        (timestamp '2026-01-02 03:04:05', date '2026-01-02', null)) as t(a, b, c)"""
    table = duckdb.sql(sql).to_arrow_table()
    rows = [
        ("290000-01-02T03:04:05.500000", "290000-01-02", "2026-01-02T00:00:00+00:00"),
        ("-290000-01-02T00:00:00", "-4000-12-31", "27000-01-02T00:00:00+00:00"),
        ("infinity", "infinity", None),
        (None, "-infinity", None),
        ("2026-01-02T03:04:05", "2026-01-02", None),
    ]
    assert [tuple(row.values()) for row in json.loads(text(table, "json"))] == rows
    assert text(table, "table").splitlines()[2].split() == [*rows[0]]
    for format in ("csv", "md"):
        assert all(str(value) in text(table, format) for row in rows for value in row if value)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("[timestamp '290000-01-02']", ["290000-01-02T00:00:00"]),
        ("{'a': date '290000-01-02', 'b': 1.5::float}", {"a": "290000-01-02", "b": 1.5}),
        ("map([1], [date '290000-01-02'])", [[1, "290000-01-02"]]),
        ("[null, date '290000-01-02']::date[2]", [None, "290000-01-02"]),
        ("timestamp_s '290000-01-02'", "290000-01-02T00:00:00"),
    ],
)
def test_such_moments_inside_of_other_values(sql, value):
    table = duckdb.sql(f"select {sql} as x").to_arrow_table()
    assert json.loads(text(table, "json")) == [{"x": value}]
    assert text(table, "table")


def test_markdown_holds_whatever_a_name_is():
    table = pa.table({"a|b": ["x|y", "a\\|b", "two\nlines", "<b>&amp;</b>", "a_b _c_ `d` *e*"]})
    assert text(table, "md").splitlines() == [
        "| a\\|b |",
        "| --- |",
        "| x\\|y |",
        "| a\\\\\\|b |",
        "| two\\\\nlines |",
        "| \\<b>\\&amp;\\</b> |",
        "| a_b \\_c\\_ \\`d\\` \\*e\\* |",
    ]


def test_out_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="the answer cannot be written: No such file") as caught:
        deliver(TABLE, "csv", tmp_path / "missing" / "out.csv")
    assert caught.value.where == str(tmp_path / "missing" / "out.csv")


def test_a_reader_that_stops_early_is_no_error():
    code = (
        "import pyarrow as pa; from pipeline.output.formats import deliver;"
        "deliver(pa.table({'n': range(300_000)}), 'csv')"
    )
    command = f'{sys.executable} -c "{code}" | head -n 2'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["n", "0"] and done.stderr == ""


ODD = "a\x1b[2J\x07b\u202ec"


def test_a_table_obeys_no_caption_and_no_name():
    table = pa.table({"caption": [ODD, "x\ry"], f"n{ODD}": [[ODD], []]})
    out = io.StringIO()
    write(table, "table", out)
    assert "\x1b" not in out.getvalue() and "\x07" not in out.getvalue()
    assert "a\\x1b[2J\\x07b\\u202ec" in out.getvalue() and "x\\ry" in out.getvalue()


@pytest.mark.parametrize("text", ["a\rb", "a\r\nb", "\r", "a\nb\r\n", '"\r"', "a,b", " a "])
def test_csv_gives_back_what_it_was_given(text, tmp_path):
    out = io.StringIO()
    write(pa.table({"caption": [text, "next"], "n": [1, 2]}), "csv", out)
    assert list(csv.reader(io.StringIO(out.getvalue(), newline=""))) == [
        ["caption", "n"],
        [text, "1"],
        ["next", "2"],
    ]
    assert out.getvalue().endswith("next,2\n")
    file = tmp_path / "answer.csv"
    deliver(pa.table({"caption": [text, "next"], "n": [1, 2]}), "csv", file)
    found = duckdb.sql("select caption from read_csv($1)", params=[str(file)])
    assert found.fetchall()[0][0] == text
