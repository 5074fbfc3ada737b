import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.models.captioners.caption_file import ABSENT, CaptionFileSpec
from pipeline.models.given import text_columns

ROWS = [
    ("b.jpg", "two, with a comma"),
    ("./a.jpg", 'one "quoted"\nover two lines'),
    ("ä/é.jpg", ""),
]


def spec(file, **options):
    return CaptionFileSpec(file=str(file), key="path", caption="caption", **options)


def write(file, rows=ROWS, names=("path", "caption")):
    if file.name.endswith(".parquet"):
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table({"other": [1] * len(rows), **columns}), file)
        return file
    if "json" in file.name:
        lines = [json.dumps({**dict(zip(names, row, strict=True)), "other": 1}) for row in rows]
    else:
        comma = "\t" if ".tsv" in file.name else ","
        quoted = [[cell.replace('"', '""') for cell in row] for row in rows]
        lines = [f'7{comma}"{key}"{comma}"{caption}"' for key, caption in quoted]
        lines.insert(0, comma.join(["other", *names]))
    data = "\n".join(lines).encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return file


@pytest.mark.parametrize(
    "name",
    ["c.csv", "C.CSV", "c.csv.gz", "c.tsv", "c.parquet", "c.jsonl", "c.jsonl.gz", "c.ndjson"],
)
def test_every_format_gives_the_same_captions(tmp_path, name):
    file = spec(write(tmp_path / name)).load()
    assert len(file) == 3
    assert file.find(["a.jpg", "b.jpg", "c.jpg", "ä/é.jpg", None, "zz", ""]) == [
        ('one "quoted"\nover two lines', None),
        ("two, with a comma", None),
        (None, ABSENT),
        (None, "the caption in the file is empty"),
        (None, ABSENT),
        (None, ABSENT),
        (None, ABSENT),
    ]


def test_keys_are_found_whatever_the_order_and_the_script(tmp_path):
    names = [f"{letter}{number}" for letter in "zaé😀中_/-Z" for number in range(9)]
    file = spec(write(tmp_path / "c.csv", [(name, f"of {name}") for name in names])).load()
    assert file.find(names) == [(f"of {name}", None) for name in names]


def test_the_identity_is_the_content(tmp_path):
    one, two = write(tmp_path / "one.csv"), write(tmp_path / "two.csv")
    assert spec(one).identity() == spec(two).identity()
    before = spec(one).identity()
    one.write_bytes(one.read_bytes() + b"\n7,new.jpg,new")
    assert spec(one).identity() != before


def test_the_file_is_hashed_once_while_it_stays(tmp_path, monkeypatch):
    file = write(tmp_path / "c.csv")
    before = spec(file).identity()
    monkeypatch.setattr("hashlib.file_digest", None)
    assert spec(file).identity() == before
    os.utime(file, ns=(1, 1))
    with pytest.raises(TypeError):
        spec(file).identity()


def test_a_file_that_is_not_there(tmp_path):
    write(tmp_path / "captions.csv")
    with pytest.raises(UserError, match="no such file of captions") as failure:
        spec(tmp_path / "caption.csv").identity()
    assert failure.value.hint == "did you mean 'captions.csv'?"
    with pytest.raises(UserError, match="no such file") as failure:
        spec(tmp_path / "gone" / "caption.csv").identity()
    assert failure.value.where == str(tmp_path / "gone" / "caption.csv")


@pytest.mark.parametrize("name", ["c.csv", "c.parquet", "c.jsonl"])
def test_a_column_that_is_not_there(tmp_path, name):
    file = write(tmp_path / name, names=("file_name", "captions"))
    with pytest.raises(UserError, match="no column 'path'") as failure:
        spec(file).identity()
    assert "`key: path`" in failure.value.where
    with pytest.raises(UserError, match="no column 'caption'") as failure:
        CaptionFileSpec(file=str(file), key="file_name", caption="caption").identity()
    assert failure.value.hint == "did you mean 'captions'?"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", b"path,caption\na.jpg,one,two,three\n"),
        ("c.csv", b"path,caption\na.jpg,caf\xe9\n"),
        ("c.csv", b""),
        ("c.parquet", b"not parquet"),
        ("c.jsonl", b"not json"),
        ("c.jsonl", b'{"path": "a", "caption": "b"}\n{"path": '),
        ("c.jsonl", b'{"path": "a", "caption": 5}\n'),
        ("c.csv.gz", b"not gzip"),
    ],
)
def test_a_damaged_file_is_the_users_error(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read") as failure:
        spec(file).identity()
        spec(file).load()
    assert failure.value.where == str(file)


def test_a_column_that_holds_no_text(tmp_path):
    file = write(tmp_path / "c.parquet", [("a.jpg", 1), ("b.jpg", 2)])
    with pytest.raises(UserError, match="the column 'caption' holds int64, not text"):
        spec(file).load()


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_text_in_other_arrow_types(tmp_path, kind):
    column = pa.array(["one", "two"], pa.string()).cast(kind)
    pq.write_table(pa.table({"path": ["a", "b"], "caption": column}), tmp_path / "c.parquet")
    assert spec(tmp_path / "c.parquet").load().find(["b"]) == [("two", None)]


def test_rows_that_name_no_image(tmp_path):
    file = write(tmp_path / "c.jsonl", [("a.jpg", "one"), (None, "two"), (" ", "three")])
    with pytest.raises(UserError, match="2 rows of captions name no image"):
        spec(file).load()


def test_two_different_captions_of_an_image_are_an_error(tmp_path):
    rows = [("b", "x"), ("a", "one"), ("b", "y"), ("./a", "two"), ("c", "same"), ("c", "same")]
    file = write(tmp_path / "c.csv", rows)
    with pytest.raises(UserError, match="2 images have several different captions: 'a', 'b'") as f:
        spec(file).load()
    assert "several: first" in f.value.hint
    first = spec(file, several="first").load()
    assert first.find(["a", "b", "c"]) == [("one", None), ("x", None), ("same", None)]


def found(file):
    captions = spec(file).load()
    return {key: captions.find([key])[0][0] for key in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")}


@pytest.mark.parametrize("compressed", ["", ".gz"])
def test_a_bare_quote_in_a_tsv_swallows_no_row(tmp_path, compressed):
    """Tab-separated values know no quotes; programs that write some write them in pairs."""
    text = 'path\tcaption\na.jpg\t"a dog\nb.jpg\t24" of snow\nc.jpg\tend"\nd.jpg\t"a ""cat"""\n'
    file = tmp_path / f"c.tsv{compressed}"
    file.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    bare = {"a.jpg": '"a dog', "b.jpg": '24" of snow', "c.jpg": 'end"', "d.jpg": 'a "cat"'}
    assert found(file) == bare
    two = tmp_path / "two.tsv"  # a pair, by chance: what is between them looks like rows
    two.write_text('path\tcaption\na.jpg\t"a dog\nb.jpg\ta cat\nc.jpg\ta cow"\nd.jpg\tx\n')
    assert found(two) == {"a.jpg": '"a dog', "b.jpg": "a cat", "c.jpg": 'a cow"', "d.jpg": "x"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('path,caption\na.jpg,"a dog\nb.jpg,a cat\n', "line 3: unexpected end of data"),
        ('path,caption\na.jpg,"a" dog\nb.jpg,a cat\n', "line 2: "),
        ("path,caption\na.jpg,a dog\nb.jpg\n", "line 3 has 1 cells, and the first 2"),
    ],
)
def test_a_csv_that_is_damaged_says_where(tmp_path, text, why):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(UserError, match=f"cannot be read: {why}"):
        spec(tmp_path / "c.csv").load()


@pytest.mark.parametrize("name", ["c.csv", "c.tsv", "c.jsonl", "c.parquet"])
def test_a_caption_has_no_length_that_is_too_much(tmp_path, name):
    long = "a long caption " * 150_000  # over 2 MB
    file = write(tmp_path / name, [("a.jpg", "one"), ("b.jpg", long), ("c.jpg", "three")])
    assert found(file) == {"a.jpg": "one", "b.jpg": long.strip(), "c.jpg": "three", "d.jpg": None}


def test_lines_without_the_columns_are_no_rows(tmp_path):
    file = tmp_path / "c.jsonl"
    lines = [{"version": 1}, {"path": "a.jpg", "caption": "one"}, {"path": "b.jpg"}, {"note": "x"}]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    spec(file).identity()
    assert len(spec(file).load()) == 2
    assert found(file) == {"a.jpg": "one", "b.jpg": None, "c.jpg": None, "d.jpg": None}
    file.write_text('{"caption": "whose?"}\n{"path": "a.jpg", "caption": "one"}\n')
    with pytest.raises(UserError, match="1 rows of captions name no image"):
        spec(file).load()


def test_half_of_a_character_costs_its_row_alone(tmp_path):
    file = tmp_path / "c.jsonl"
    file.write_text(
        '{"path": "a.jpg", "caption": "one \\ud83d"}\n'
        '{"path": "b.jpg", "caption": "\\ud83d\\ude00"}\n'
        '{"path": "\\udce9.jpg", "caption": "three"}\n'
    )
    captions = spec(file).load()
    assert captions.find(["a.jpg", "b.jpg", "\\udce9.jpg"]) == [
        (None, "the caption in the file holds half of a character"),
        ("\U0001f600", None),
        (None, "the caption in the file holds half of a character"),
    ]


@pytest.mark.parametrize("name", ["c.csv", "c.jsonl"])
def test_many_rows_come_in_batches(tmp_path, monkeypatch, name):
    monkeypatch.setattr(text_columns, "_BATCH", 2)
    rows = [(f"{number}.jpg", f"of {number}") for number in range(5)]
    file = spec(write(tmp_path / name, rows)).load()
    assert file.find([key for key, _ in rows]) == [(caption, None) for _, caption in rows]


@pytest.mark.parametrize("name", ["c.jsonl", "c.tsv", "c.csv"])
def test_columns_are_looked_for_without_reading_all(tmp_path, name):
    """Every command asks for them."""
    file = write(tmp_path / name, [("a.jpg", "one"), ("b.jpg", "two")])
    text = file.read_text() + '\n{no JSON, a bare quote\t"\n' * 2
    file.write_text(text)
    spec(file).identity()
    if name != "c.tsv":
        with pytest.raises(UserError, match="cannot be read: line"):
            spec(file).load()
