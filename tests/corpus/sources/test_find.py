"""The same images are found in every source, with the same labels, captions and contents."""

import pytest

from pipeline.corpus.layouts.registry import Reading
from pipeline.corpus.layouts.said import labels_of
from pipeline.corpus.layouts.survey import survey_files
from pipeline.corpus.sources.places import path_below
from pipeline.corpus.sources.read import read_bytes
from pipeline.errors import UserError
from tests.corpus.sources.conftest import (
    csv_of,
    folder,
    known_images,
    parquet_of,
    rows_of,
    samples,
    sources,
    tar_of,
)
from tests.helpers.corpora import found_in


def test_the_same_images_in_every_source(tmp_path):
    images = known_images(300)
    label = {"real": 0, "fake": 1}
    for name, root, layout, captions in sources(tmp_path, images):
        found = found_in(root)
        said = labels_of(Reading(layout), found.files)
        uris = found.files["uri"].to_pylist()
        rows = zip(
            (read_bytes(uri) for uri in uris), said, found.files["caption"].to_pylist(), strict=True
        )
        seen = sorted((data, one.label, one.generator, one.split, text) for data, one, text in rows)
        expected = sorted(
            (
                one.data,
                label[one.label],
                one.generator,
                one.split,
                one.caption if captions else None,
            )
            for one in images
        )
        assert seen == expected, name
        assert len(set(uris)) == len(images), name
        assert not len(found.unlisted), name
        paths = found.files["path"].to_pylist()
        assert [path_below(str(root), uri) for uri in uris] == paths, name
        again = found_in(root)
        assert again == found, name  # the same order, and the same stamps
        assert found.files["stamp"].null_count == 0, name


def test_what_lies_there_is_said_with_counts(tmp_path, images):
    members = samples(images) | {".hidden.jpg": b"", "odd.cls": b"1", "notes.md": b"", "a.bin": b""}
    found = found_in(tar_of(tmp_path / "a.tar", members))
    assert len(found.files) == len(images)
    assert found.beside == {".cls": 12, ".json": 12, ".txt": 12}
    assert found.ignored == {"(hidden)": 1, ".bin": 1, ".cls": 1, ".md": 1}
    listed = len(found.files) + sum(found.beside.values()) + sum(found.ignored.values())
    assert listed == len(members)


def test_labels_of_columns_are_shown_before_anything_is_computed(tmp_path, images):
    found = found_in(parquet_of(tmp_path / "a.parquet", images))
    rows = [vars(row) for row in survey_files(Reading("unlabelled"), found).rows()]
    assert {(row["generator"], row["split"], row["label"], row["images"]) for row in rows} == {
        (g, s, k, sum((o.generator, o.split, o.label) == (g, s, w) for o in images))
        for g in ("gan", "flow")
        for s in ("train", "test")
        for k, w in enumerate(("real", "fake"))
        if any((o.generator, o.split, o.label) == (g, s, w) for o in images)
    }


@pytest.mark.parametrize(
    ("names", "source", "says", "hint"),
    [
        (["a.tar", "b.zip"], "auto", "files .tar and .zip", "corpus.source: tar"),
        (["a.tar.gz"], "auto", "only: 1 .gz", ""),
        (["a.tar"], "zip", "there is no .zip below", "corpus.root"),
        (["a.csv"], "manifest", "the root is a folder", "the table itself"),
        (["a.txt"], "tar", "there is no .tar below", "corpus.root"),
    ],
)
def test_folders_that_are_no_corpus(tmp_path, names, source, says, hint):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=says) as caught:
        found_in(tmp_path, source)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.tar", b"", "it has 0 bytes"),
        ("a.tar", b"no tar" * 500, "it is no tar archive"),
        ("a.tar", b"\x1f\x8b" + b"x" * 600, "packed with gzip: unpack it"),
        ("a.zip", b"", "it is no zip archive"),
        ("a.zip", b"PK\x03\x04" + b"x" * 100, "it is no zip archive"),
        ("a.parquet", b"", "cannot be read"),
        ("a.parquet", b"PAR1" + b"x" * 40 + b"PAR1", "cannot be read"),
        ("a.tar.gz", b"\x1f\x8b", "a packed archive"),
        ("a.7z", b"7z", "a packed archive"),
        ("a.exe", b"MZ", "none that holds or names images"),
        ("a.jpg", b"\xff\xd8", "is a file, not a folder"),
        ("a.csv", b"", "it is empty"),
        ("a.csv", b"label,generator\nreal,x\n", "names an image by its usual name"),
        ("a.csv", b"path,label\n", "it has no rows"),
        ("a.csv", b"path,label\na.jpg,real,more\n", "line 2"),
        ("a.csv", b"path\n\xff\xfe.jpg\n", "cannot be read"),
        ("a.json", b"{}", "no list of objects"),
        ("a.jsonl", b'{"path": "a.jpg"}\n[]', "line 2 is no object"),
        ("a.jsonl", b"{" * 100_000, "line 1 is no JSON"),
    ],
)
def test_a_root_that_is_damaged_or_no_source_is_one_message(tmp_path, name, data, says):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        found_in(path)
    assert says in f"{caught.value.what} {caught.value.where}"
    assert name in caught.value.where and caught.value.hint


def test_a_missing_root(tmp_path):
    for root in (tmp_path / "a.tar", f"zip://::{tmp_path}/a.zip", f"tar://x::{tmp_path}/a.tar"):
        with pytest.raises(UserError, match="there is no such folder or file"):
            found_in(root)


def test_a_damaged_archive_among_others_is_a_row(tmp_path, images):
    tar_of(tmp_path / "1.tar", {one.path: one.data for one in images})
    (tmp_path / "2.tar").write_bytes(b"no tar" * 500)
    (tmp_path / "3.tar").symlink_to("nowhere")
    found = found_in(tmp_path)
    assert len(found.files) == len(images)
    rows = found.unlisted.select(["uri", "path", "problem"]).to_pylist()
    assert [row["path"] for row in rows] == ["2.tar/", "3.tar/"]
    assert rows[0]["uri"] == f"tar://::{tmp_path}/2.tar"
    start = "transient: the archive cannot be listed: "
    assert rows[0]["problem"] == f"{start}it is no tar archive: no header is in it"
    assert rows[1]["problem"].startswith(f"{start}No such file or directory")


def test_columns_that_are_not_there_and_roles_that_are_none(tmp_path, images):
    path = parquet_of(tmp_path / "a.parquet", images)
    with pytest.raises(UserError, match="no column 'generatr'") as caught:
        found_in(path, columns={"generator": "generatr"})
    assert "generator" in caught.value.hint
    with pytest.raises(UserError, match="the column 'label' holds no bytes"):
        found_in(path, columns={"image": "label"})
    path = csv_of(tmp_path / "a.csv", rows_of(images))
    with pytest.raises(UserError, match="no column 'lable'"):
        found_in(path, columns={"label": "lable"})


def test_columns_of_a_folder_are_refused(tmp_path, images):
    root = folder(tmp_path, images)
    with pytest.raises(UserError, match="a folder of images has no columns"):
        found_in(root, columns={"label": "cls"})
