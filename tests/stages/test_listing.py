import hashlib

import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline import tables
from pipeline.corpus.file_facts import describe
from pipeline.corpus.formats.known import FORMATS
from pipeline.corpus.sources.found import FILES
from pipeline.corpus.sources.read import Reader
from pipeline.spec import output_parameters
from pipeline.stages import listing
from pipeline.stages.registry import get_stage
from tests.helpers.corpora import found_in


def run(root, layout="forensynths", **parameters):
    files = found_in(root).files
    return listing.run({"files": files}, listing.Listing(layout=layout, **parameters))


def save(path, colour="red", size=(6, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def test_labels_and_facts(tmp_path):
    path = save(tmp_path / "test/gan/cat/1_fake/é x.JPG", quality=80)
    save(tmp_path / "test/gan/cat/0_real/a.jpg", format="PNG")
    table = run(tmp_path, dataset="mine")
    tables.check("listing", table)
    real, fake = table.to_pylist()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert fake == {
        "uri": str(path),
        "image_id": digest[:32],
        "label": 1,
        "generator": "gan",
        "dataset": "mine",
        "split": "test",
        "class_name": "cat",
        "released": None,
        "bytes": path.stat().st_size,
        "width": 6,
        "height": 4,
        "format": "JPEG",
        "mode": "RGB",
        "orientation": 1,
        "jpeg_quality": 80,
        "jpeg_tables": describe(path.read_bytes()).jpeg_tables,
        "has_exif": False,
        "decode_bytes": 4 * (8 + 4 * 6),
        "sha256": digest,
        "given_caption": None,
        "stamp": str(path.stat().st_mtime_ns),
        "error": None,
    }
    assert (real["label"], real["format"], real["jpeg_quality"]) == (0, "PNG", None)


def test_labels_do_not_depend_on_folder_order(tmp_path):
    save(tmp_path / "a/1_fake/x.png")
    save(tmp_path / "b/0_real/x.png", "blue")
    assert run(tmp_path)["label"].to_pylist() == [1, 0]


def test_plain_folder(tmp_path):
    save(tmp_path / "x.png")
    save(tmp_path / "holiday/2020/y.png")
    rows = run(tmp_path, layout="unlabelled").to_pylist()
    assert [row["class_name"] for row in rows] == ["holiday/2020", None]
    assert {(row["label"], row["generator"], row["split"]) for row in rows} == {(None,) * 3}


def test_the_same_content_twice_is_two_rows_with_one_id(tmp_path):
    save(tmp_path / "gan/0_real/a.png")
    save(tmp_path / "gan/1_fake/b.png")
    table = run(tmp_path)
    assert table.num_rows == 2
    assert len(set(table["image_id"].to_pylist())) == 1
    assert table["label"].to_pylist() == [0, 1]


def test_nothing_is_dropped(tmp_path, monkeypatch):
    folder = tmp_path / "gan/0_real"
    for name in ("a.png", "b.png", "c.png", "d.png"):
        save(folder / name)
    (folder / "b.png").write_bytes(b"")
    (folder / "c.png").write_bytes(b"hello")
    save(tmp_path / "stray.png", "blue")
    (tmp_path / "stray.txt.png").write_bytes(b"bye")
    real = Reader.read

    def read(self, uri):
        if uri.endswith("d.png"):
            raise PermissionError(13, "Permission denied", uri)
        return real(self, uri)

    monkeypatch.setattr(Reader, "read", read)
    good, empty, text, locked, stray, both = run(tmp_path).to_pylist()
    assert good["error"] is None
    assert empty["error"] == "file is empty (0 bytes)"
    assert (empty["bytes"], empty["label"], empty["width"]) == (0, 0, None)
    assert empty["image_id"] == hashlib.sha256(b"").hexdigest()[:32]
    assert text["error"] == "not an image that can be read: it starts with b'hello'"
    assert (
        locked["error"]
        == f"transient: file cannot be read: Permission denied: '{folder / 'd.png'}'"
    )
    assert (locked["image_id"], locked["sha256"], locked["label"]) == (None, None, 0)
    assert stray["error"].startswith("path does not fit the layout forensynths: ")
    assert (stray["label"], stray["generator"], stray["width"]) == (None, None, 6)
    assert stray["image_id"] is not None
    assert both["error"].startswith("not an image")
    assert both["label"] is None


def test_each_file_is_read_once(tmp_path, monkeypatch):
    for index in range(5):
        save(tmp_path / f"g/0_real/{index}.png")
    reads = []
    real = Reader.read
    monkeypatch.setattr(Reader, "read", lambda self, uri: reads.append(uri) or real(self, uri))
    assert run(tmp_path, threads=3).num_rows == 5
    assert len(reads) == len(set(reads)) == 5


def test_an_empty_part_has_the_schema():
    table = listing.run({"files": FILES.empty_table()}, listing.Listing(layout="unlabelled"))
    tables.check("listing", table)
    assert table.num_rows == 0


def test_declaration():
    stage = get_stage("listing")
    assert (stage.inputs, stage.output, stage.key) == (("files",), "listing", "uri")
    few = listing.Listing(layout="unlabelled", threads=1)
    assert output_parameters(few) == {
        "layout": "unlabelled",
        "dataset": None,
        "pattern": None,
        "source": "auto",
        "columns": {},
        "labels": {},
        "formats": list(FORMATS),
        "limits": {"megapixels": 179.0, "bytes": 1_610_612_736},
    }
    with pytest.raises(ValidationError, match="there is no layout 'forensinths': did you mean"):
        listing.Listing(layout="forensinths")
