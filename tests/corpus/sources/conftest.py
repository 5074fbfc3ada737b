"""The same few images in every kind of source."""

import csv
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@dataclass(frozen=True)
class Known:
    """An image, and all that is said of it."""

    path: str
    data: bytes
    label: str
    generator: str
    split: str
    caption: str


def known_images(count: int = 12) -> list[Known]:
    """Files of different lengths, around the blocks of a tar."""
    found = []
    for number in range(count):
        label, generator = ("0_real", "1_fake")[number % 2], ("gan", "flow")[number // 2 % 2]
        split = ("train", "test")[number // 4 % 2]
        data = bytes([number % 256]) * (510 + number)
        path = f"{split}/{generator}/{label}/{number:03d}.jpg"
        words = f'image {number}, "quoted", café'
        found.append(Known(path, data, label[2:], generator, split, words))
    return sorted(found, key=lambda one: one.path)


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **about) -> None:
    """A member of a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in about.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


def tar_of(path: Path, members: dict[str, bytes], **options) -> Path:
    """A tar of these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, data in members.items():
            add(archive, name, data)
    return path


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    """A zip of these members, packed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


FEATURES = {
    "info": {
        "features": {
            "image": {"_type": "Image"},
            # in the order of their names, as a folder of images is read: 0 is fake
            "label": {"_type": "ClassLabel", "names": ["fake", "real"]},
        }
    }
}


def parquet_of(path: Path, images: list[Known], **options) -> Path:
    """A Parquet file as `datasets` writes it."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "image": pa.array(
                [{"bytes": one.data, "path": Path(one.path).name} for one in images], kind
            ),
            "label": [1 if one.label == "real" else 0 for one in images],
            "generator": [one.generator for one in images],
            "split": [one.split for one in images],
            "caption": [one.caption for one in images],
        }
    )
    pq.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps(FEATURES)}), path, **options
    )
    return path


def rows_of(images: list[Known], base: str = "") -> list[dict[str, str]]:
    """What a manifest says."""
    return [
        {
            "path": f"{base}{one.path}",
            "label": one.label,
            "generator": one.generator,
            "split": one.split,
            "caption": one.caption,
        }
        for one in images
    ]


def csv_of(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    """A manifest."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def images() -> list[Known]:
    """What is to be found, in the order of the paths."""
    return known_images()


def folder(root, images):
    for one in images:
        path = root / "folder" / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.data)
    return root / "folder"


def samples(images):
    """As WebDataset lays them: what is said lies beside each image."""
    members = {}
    for one in images:
        name = Path(one.path).stem
        members[f"{name}.jpg"] = one.data
        members[f"{name}.json"] = json.dumps(
            {"generator": one.generator, "split": one.split}
        ).encode()
        members[f"{name}.cls"] = b"0\n" if one.label == "real" else b"1\n"
        members[f"{name}.txt"] = one.caption.encode()
    return members


def sources(root, images):
    """(name, root, layout, whether captions come with it) of each."""
    tree = {one.path: one.data for one in images}
    dotted = {f"./{path}": data for path, data in tree.items()}
    by_path = folder(root, images)
    yield "folder", by_path, "forensynths", False
    yield "tar", tar_of(root / "a.tar", dotted), "forensynths", False
    half = dict(list(tree.items())[:5]), dict(list(tree.items())[5:])
    for number, some in enumerate(half):
        tar_of(root / "tars" / f"data-{number:04d}.tar", some)
    yield "folder of tars", root / "tars", "forensynths", False
    for split in ("train", "test"):
        some = {p.partition("/")[2]: d for p, d in tree.items() if p.startswith(split)}
        tar_of(root / "splits" / f"{split}-00000-of-00001.tar", some)
    yield "tars called after splits", root / "splits", "forensynths", False
    yield "zip", zip_of(root / "a.zip", tree), "forensynths", False
    (root / "inner").mkdir()
    inner = {f"in/{path}": data for path, data in tree.items()}
    yield (
        "folder in a zip",
        f"zip://in::{zip_of(root / 'inner' / 'b.zip', inner)}",
        "forensynths",
        False,
    )
    yield "WebDataset", tar_of(root / "w" / "0.tar", samples(images)).parent, "unlabelled", True
    yield "zip of samples", zip_of(root / "s.zip", samples(images)), "unlabelled", True
    yield "datasets", parquet_of(root / "hf.parquet", images, row_group_size=5), "unlabelled", True
    yield "CSV", csv_of(by_path / "list.csv", rows_of(images)), "unlabelled", True
    yield "TSV", csv_of(root / "list.tsv", rows_of(images, "folder/"), "\t"), "unlabelled", True
    lines = "\n".join(json.dumps(row) for row in rows_of(images, f"{by_path}/"))
    (root / "list.jsonl").write_text(lines)
    yield "JSON lines", root / "list.jsonl", "unlabelled", True
    (root / "list.json").write_text(json.dumps(rows_of(images, "folder/./")))
    yield "JSON", root / "list.json", "unlabelled", True
    table = pa.Table.from_pylist(rows_of(images, "folder/"))
    pq.write_table(table, root / "list.parquet")
    yield "Parquet of names", root / "list.parquet", "unlabelled", True
