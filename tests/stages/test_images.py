import hashlib
import io

import pyarrow as pa
from PIL import Image

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.corpus.files import File, files_table, list_files
from pipeline.stages import images, listing
from pipeline.stages.images import first_occurrences, unreadable_id
from pipeline.stages.registry import get_stage


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


def in_variant(table, variant):
    """Clean rows as they travel to the stage: with the image_ids of a variant."""
    ids = [f"{image_id}-{variant}" for image_id in table["image_id"].to_pylist()]
    columns = {name: table[name] for name in table.column_names}
    return pa.table({**columns, "image_id": ids, "variant": [variant] * len(ids)})


def perturbed(table, variant):
    found = get_stage("images").run({"files": in_variant(table, variant)}, images.Images(), ())
    tables.check("images", found)
    return found.to_pylist()


def test_a_variant_that_ends_in_jpeg_has_the_facts_of_that_file(tmp_path):
    path = save(tmp_path / "a/0_real/1.png", "red")
    clean = first_occurrences(listed(tmp_path), set())
    (row,) = perturbed(clean, "resize_2+jpeg_50")
    stream = io.BytesIO()
    Image.open(path).resize((12, 8), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=50)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert row == {
        "image_id": f"{digest[:32]}-resize_2+jpeg_50",
        "variant": "resize_2+jpeg_50",
        "uri": str(path),
        "bytes": len(stream.getvalue()),
        "width": 12,
        "height": 8,
        "format": "JPEG",
        "mode": "RGB",
        "orientation": 1,
        "jpeg_quality": 50,
        "sha256": digest,
        "error": None,
    }


def test_a_variant_without_a_file_has_no_format_and_no_size_on_disk(tmp_path):
    block = Image.Exif()
    block[0x0112] = 6
    (tmp_path / "a/0_real").mkdir(parents=True)
    Image.new("L", (6, 4)).save(tmp_path / "a/0_real/1.jpg", exif=block)
    clean = first_occurrences(listed(tmp_path), set())
    (row,) = perturbed(clean, "jpeg_50+blur_1")
    assert [row[name] for name in ("bytes", "format", "jpeg_quality")] == [None] * 3
    size = [row[name] for name in ("width", "height", "mode", "orientation")]
    assert size == [4, 6, "RGB", 1]  # upright


def test_a_variant_of_a_failed_image_is_a_failed_row_of_the_same_file(tmp_path):
    save(tmp_path / "a/0_real/1.png", "red")
    cut = tmp_path / "a/0_real/2.jpg"
    Image.effect_noise((64, 64), 50).save(cut)
    cut.write_bytes(cut.read_bytes()[:-500])  # its header is fine
    (tmp_path / "a/0_real/3.png").write_bytes(b"")
    clean = first_occurrences(listed(tmp_path), set())
    assert clean["error"].null_count == 2
    rows = perturbed(clean, "jpeg_50")
    assert [row["error"] is None for row in rows] == [True, False, False]
    assert rows[2]["error"] == "file is empty (0 bytes)"
    for row, before in zip(rows, clean.to_pylist(), strict=True):
        assert (row["uri"], row["sha256"]) == (before["uri"], before["sha256"])
        assert row["variant"] == "jpeg_50"
    assert [rows[1][name] for name in ("width", "bytes", "format")] == [None] * 3
