import hashlib

from PIL import Image

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.corpus.source import File, files_table, list_files
from pipeline.stages import get_stage, images, listing
from pipeline.stages.images import first_occurrences, unreadable_id


def listed(root, extra=()):
    files = files_table([*list_files(root).files, *extra])
    return listing.run({"files": files}, listing.Listing(layout="forensynths"))


def save(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), colour).save(path)
    return path


def test_facts_are_copied_from_the_first_file(tmp_path):
    first = save(tmp_path / "a/0_real/1.png", "red")
    save(tmp_path / "a/1_fake/1.png", "red")
    part = listed(tmp_path)
    table = first_occurrences(part, set())
    tables.check("images", table)
    (row,) = table.to_pylist()
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    assert row == {
        "image_id": digest[:32],
        "variant": "clean",
        "uri": str(first),
        "bytes": first.stat().st_size,
        "width": 6,
        "height": 4,
        "format": "PNG",
        "mode": "RGB",
        "orientation": 1,
        "jpeg_quality": None,
        "sha256": digest,
        "error": None,
    }


def test_ids_seen_in_earlier_parts_are_left_out(tmp_path):
    for name, colour in {"1": "red", "2": "blue", "3": "red", "4": "lime"}.items():
        save(tmp_path / f"a/0_real/{name}.png", colour)
    part = listed(tmp_path)
    seen: set[str] = set()
    first = first_occurrences(part.slice(0, 2), seen)
    assert seen == set()
    seen.update(first["image_id"].to_pylist())
    second = first_occurrences(part.slice(2), seen)
    assert [uri[-5] for uri in first["uri"].to_pylist()] == ["1", "2"]
    assert [uri[-5] for uri in second["uri"].to_pylist()] == ["4"]
    assert first_occurrences(part.slice(0, 2), seen).num_rows == 0


def test_failed_files_keep_a_row(tmp_path):
    save(tmp_path / "a/0_real/1.png", "red")
    (tmp_path / "a/0_real/2.png").write_bytes(b"")
    gone = [File(str(tmp_path / name), f"a/0_real/{name}") for name in ("x.png", "y.png")]
    table = first_occurrences(listed(tmp_path, gone), set())
    rows = table.to_pylist()
    assert [row["error"] is None for row in rows] == [True, False, False, False]
    assert rows[1]["image_id"] == hashlib.sha256(b"").hexdigest()[:32]
    assert rows[1]["error"] == "file is empty (0 bytes)"
    assert rows[2]["image_id"] == unreadable_id(gone[0].uri) != unreadable_id(gone[1].uri)
    assert len(rows[2]["image_id"]) == 32
    assert rows[2]["error"].startswith("file cannot be read: No such file")
    assert rows[2]["sha256"] is None
    assert [error for _, _, error in decode(table)] == [row["error"] for row in rows]


def test_a_path_that_misfits_is_no_fault_of_the_image(tmp_path):
    save(tmp_path / "stray.png", "red")
    part = listed(tmp_path)
    assert part["error"][0].as_py().startswith("path does not fit")
    assert first_occurrences(part, set())["error"].to_pylist() == [None]


def test_the_stage_itself(tmp_path):
    save(tmp_path / "a/0_real/1.png", "red")
    part = listed(tmp_path)
    stage = get_stage("images")
    assert (stage.inputs, stage.output, stage.key) == (("listing",), "images", "image_id")
    assert stage.run({"listing": part}, images.Images(), ()) == first_occurrences(part, set())
    empty = stage.run({"listing": part.slice(0, 0)}, images.Images(), ())
    tables.check("images", empty)
