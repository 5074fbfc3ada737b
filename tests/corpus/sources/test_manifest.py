"""Tables that name images: where that lies, what is said twice, and what of it has changed."""

import os

import fsspec
import pytest

from pipeline.corpus.sources.read import read_bytes
from pipeline.errors import UserError
from tests.helpers.corpora import found_in


@pytest.fixture
def root(tmp_path):
    (tmp_path / "x").mkdir()
    for name in ("a.jpg", "x/b.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def manifest(root, text, name="list.csv"):
    path = root / name
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_table_absolute_or_urls(root):
    memory = fsspec.filesystem("memory")
    memory.pipe({"/manifest_test/c.jpg": b"c"})
    try:
        rows = (
            f"a.jpg\n./x//b.jpg\nx/../x/b.jpg\n{root}/a.jpg\nmemory://manifest_test/c.jpg\nno.jpg\n"
        )
        found = found_in(manifest(root, f"path\n{rows}"))
        files = found.files.select(["uri", "path", "bytes", "stamp"]).to_pylist()
        assert [row["uri"] for row in files] == [
            f"{root}/a.jpg",
            f"{root}/x/b.jpg",
            "memory://manifest_test/c.jpg",
            f"{root}/no.jpg",
        ]
        assert [row["path"] for row in files] == [
            "a.jpg",
            "x/b.jpg",
            "memory://manifest_test/c.jpg",
            "no.jpg",
        ]
        assert found.ignored == {"(named again)": 2}
        assert [row["bytes"] for row in files] == [5, 7, None, None]
        assert [row["stamp"] for row in files][2:] == ["as named", None]
        assert read_bytes(files[2]["uri"]) == b"c"
        with pytest.raises(FileNotFoundError):
            read_bytes(files[3]["uri"])
    finally:
        memory.rm("/manifest_test", recursive=True)


def test_a_table_elsewhere_names_what_lies_beside_it():
    memory = fsspec.filesystem("memory")
    memory.pipe({"/far/x/c.jpg": b"c", "/far/list.csv": b"path,label,etag\nx/c.jpg,real,v1\n"})
    try:
        (row,) = found_in("memory://far/list.csv").files.to_pylist()
        assert (row["uri"], row["path"]) == ("memory://far/x/c.jpg", "x/c.jpg")
        assert (row["label"], row["stamp"]) == (0, "v1")
    finally:
        memory.rm("/far", recursive=True)


def test_rows_that_name_nothing_and_what_is_named_with_two_labels(root):
    text = "path,label\na.jpg,real\n,fake\nx/b.jpg,fake\n  ,real\na.jpg,fake\nx/b.jpg,fake\n"
    found = found_in(manifest(root, text))
    rows = found.unlisted.select(["path", "problem"]).to_pylist()
    assert [row["path"] for row in rows] == ["row 2/", "row 4/"]
    assert rows[0]["problem"] == "row 2 names no image"
    assert found.ignored == {"(named again)": 2}
    one, two = found.files.to_pylist()
    assert "says different things of it" in one["problem"] and two["problem"] is None
    assert len(found.files) + len(found.unlisted) + found.ignored["(named again)"] == 6


@pytest.mark.parametrize(
    ("text", "columns", "labels", "found"),
    [
        ("path,label\na.jpg,REAL\nx/b.jpg,AI-generated\n", {}, {}, [0, 1]),
        ("path,label\na.jpg,0\nx/b.jpg,1\n", {}, {}, [0, 1]),
        (
            "filename,typ\na.jpg,raise\nx/b.jpg,dalle3\n",
            {"label": "typ"},
            {"raise": "real", "dalle3": "fake"},
            [0, 1],
        ),
        ("path,label\na.jpg,1\nx/b.jpg,0\n", {}, {"1": "real", "0": "fake"}, [0, 1]),
        ("path,label\na.jpg,\nx/b.jpg,fake\n", {}, {}, [None, 1]),
        (
            "path,label\na.jpg,cat\nx/b.jpg,dog\n",
            {"label": None, "class_name": "label"},
            {},
            [None, None],
        ),
    ],
)
def test_labels_by_words_numbers_and_the_users_own(root, text, columns, labels, found):
    rows = found_in(manifest(root, text), columns=columns, labels=labels).files.to_pylist()
    assert [row["label"] for row in rows] == found
    assert all(row["problem"] is None for row in rows)


def test_words_that_say_nothing_are_the_rows_problem(root):
    text = "path,label,split\na.jpg,cat,train\nx/b.jpg,fake,extra\n"
    one, two = found_in(manifest(root, text)).files.to_pylist()
    assert one["problem"].startswith("the label 'cat' is neither real nor fake: say which by")
    assert two["problem"].startswith("the split 'extra' is none of train, val, test")


def test_dates_of_release_are_days(root):
    rows = "a.jpg,2022-08-22\nx/b.jpg,2022-08-22T10:00:00Z\nno.jpg,soon\n"
    found = found_in(manifest(root, f"path,released\n{rows}")).files
    assert found["released"].to_pylist()[:2] == ["2022-08-22", "2022-08-22"]
    assert "the released 'soon' is no date (YYYY-MM-DD)" in found["problem"].to_pylist()[2]


def test_stamps_follow_files(root):
    path = manifest(root, "path\na.jpg\n")
    before = found_in(path).files["stamp"][0].as_py()
    os.utime(root / "a.jpg", ns=(1, 1))
    assert (before, found_in(path).files["stamp"][0].as_py()) != (before, before)
    assert found_in(path).files["stamp"][0].as_py() == "1"


def test_a_column_of_numbers_names_no_image(root):
    path = manifest(root, '[{"path": 1}, {"path": "a.jpg"}]', "list.json")
    assert len(found_in(path).files) == 2  # both are names
    with pytest.raises(UserError, match="no such folder or file"):
        found_in(root / "none.csv")
