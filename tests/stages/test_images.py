import hashlib
import io

import pyarrow as pa
from PIL import Image

from pipeline import tables
from pipeline.corpus.file_facts import describe
from pipeline.stages import images, listing
from pipeline.stages.images import described
from pipeline.stages.registry import get_stage
from tests.helpers.corpora import found_in


def listed(root):
    files = found_in(root).files
    return listing.run({"files": files}, listing.Listing(layout="forensynths"))


def save(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), colour).save(path)
    return path


def test_facts_are_copied_from_the_first_file(tmp_path):
    first = save(tmp_path / "a/0_real/1.png", "red")
    save(tmp_path / "a/1_fake/1.png", "red")
    part = listed(tmp_path)
    table = described(part)
    tables.check("images", table)
    (row,) = table.to_pylist()
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    assert row == {
        "image_id": digest[:32],
        "variant": "clean",
        "bytes": first.stat().st_size,
        "width": 6,
        "height": 4,
        "format": "PNG",
        "mode": "RGB",
        "orientation": 1,
        "jpeg_quality": None,
        "jpeg_tables": None,
        "has_exif": False,
        "sha256": digest,
        "error": None,
    }


def test_a_content_is_one_row_and_a_file_without_one_has_none(tmp_path):
    for name, colour in {"1": "red", "2": "blue", "3": "red", "4": "lime"}.items():
        save(tmp_path / f"a/0_real/{name}.png", colour)
    (tmp_path / "a/0_real/5.png").write_bytes(b"")
    (tmp_path / "a/0_real/6.png").symlink_to(tmp_path / "nowhere")
    part = listed(tmp_path)
    assert part["error"][5].as_py().startswith("transient: file cannot be read: No such file")
    rows = described(part).to_pylist()
    ids = part["image_id"].to_pylist()
    assert [row["image_id"] for row in rows] == [ids[0], ids[1], ids[3], ids[4]]
    assert [row["error"] for row in rows] == [None, None, None, "file is empty (0 bytes)"]


def test_a_path_that_misfits_is_no_fault_of_the_image(tmp_path):
    save(tmp_path / "stray.png", "red")
    part = listed(tmp_path)
    assert part["error"][0].as_py().startswith("path does not fit")
    assert described(part)["error"].to_pylist() == [None]


def test_the_stage_itself(tmp_path):
    save(tmp_path / "a/0_real/1.png", "red")
    stage = get_stage("images")
    assert (stage.inputs, stage.output, stage.key) == ((), "images", "image_id")
    tables.check("images", described(listed(tmp_path).slice(0, 0)))


def perturbed(root, variant):
    part = listed(root)
    table = described(part)
    ids = [f"{image_id}-{variant}" for image_id in table["image_id"].to_pylist()]
    columns = {name: table[name] for name in table.column_names} | {"uri": part["uri"]}
    given = pa.table({**columns, "image_id": ids, "variant": [variant] * len(ids)})
    found = get_stage("images").run({"images": given}, images.Images(), ())
    tables.check("images", found)
    return found.to_pylist()


def test_a_variant_that_ends_in_jpeg_has_the_facts_of_that_file(tmp_path):
    path = save(tmp_path / "a/0_real/1.png", "red")
    (row,) = perturbed(tmp_path, "resize_2+jpeg_50")
    stream = io.BytesIO()
    Image.open(path).resize((12, 8), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=50)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert row == {
        "image_id": f"{digest[:32]}-resize_2+jpeg_50",
        "variant": "resize_2+jpeg_50",
        "bytes": len(stream.getvalue()),
        "width": 12,
        "height": 8,
        "format": "JPEG",
        "mode": "RGB",
        "orientation": 1,
        "jpeg_quality": 50,
        "jpeg_tables": describe(stream.getvalue()).jpeg_tables,
        "has_exif": False,
        "sha256": digest,
        "error": None,
    }


def test_a_variant_without_a_file_has_no_format_and_no_size_on_disk(tmp_path):
    block = Image.Exif()
    block[0x0112] = 6
    (tmp_path / "a/0_real").mkdir(parents=True)
    Image.new("L", (6, 4)).save(tmp_path / "a/0_real/1.jpg", exif=block)
    (row,) = perturbed(tmp_path, "jpeg_50+blur_1")
    assert [row[name] for name in ("bytes", "format", "jpeg_quality", "has_exif")] == [None] * 4
    assert row["jpeg_tables"] is None
    size = [row[name] for name in ("width", "height", "mode", "orientation")]
    assert size == [4, 6, "RGB", 1]  # upright


def test_a_variant_of_a_failed_image_is_a_failed_row_of_the_same_file(tmp_path):
    save(tmp_path / "a/0_real/1.png", "red")
    cut = tmp_path / "a/0_real/2.jpg"
    Image.effect_noise((64, 64), 50).save(cut)
    cut.write_bytes(cut.read_bytes()[:-500])  # its header is fine
    (tmp_path / "a/0_real/3.png").write_bytes(b"")
    clean = described(listed(tmp_path))
    assert clean["error"].null_count == 2
    rows = perturbed(tmp_path, "jpeg_50")
    assert [row["error"] is None for row in rows] == [True, False, False]
    assert rows[2]["error"] == "file is empty (0 bytes)"
    for row, before in zip(rows, clean.to_pylist(), strict=True):
        assert row["sha256"] == before["sha256"]
        assert row["variant"] == "jpeg_50"
    assert [rows[1][name] for name in ("width", "bytes", "format")] == [None] * 3
