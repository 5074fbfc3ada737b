import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.models.captioners.caption_file import CaptionFileSpec

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
        (True, 'one "quoted"\nover two lines'),
        (True, "two, with a comma"),
        (False, None),
        (True, ""),
        (False, None),
        (False, None),
        (False, None),
    ]


def test_keys_are_found_whatever_the_order_and_the_script(tmp_path):
    names = [f"{letter}{number}" for letter in "zaé😀中_/-Z" for number in range(9)]
    file = spec(write(tmp_path / "c.csv", [(name, f"of {name}") for name in names])).load()
    assert file.find(names) == [(True, f"of {name}") for name in names]


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


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_in_other_arrow_types(tmp_path, kind):
    column = pa.array(["one", "two"], pa.string()).cast(kind)
    pq.write_table(pa.table({"path": ["a", "b"], "caption": column}), tmp_path / "c.parquet")
    assert spec(tmp_path / "c.parquet").load().find(["b"]) == [(True, "two")]


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
    assert first.find(["a", "b", "c"]) == [(True, "one"), (True, "x"), (True, "same")]
