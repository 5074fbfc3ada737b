"""Tars as they lie about: long names, links, archives joined, headers and ends that are damaged."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from pipeline.corpus.sources.packed import tar
from pipeline.corpus.sources.read import read_bytes
from pipeline.errors import UserError
from tests.corpus.sources.conftest import add, tar_of
from tests.helpers.corpora import found_in


def read(found) -> dict[str, bytes]:
    """Path -> content."""
    files = found.files.select(["path", "uri"]).to_pylist()
    return {row["path"]: read_bytes(row["uri"]) for row in files}


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_format(tmp_path, kind):
    names = [
        "a.jpg",
        "./b.jpg",
        "日本/猫 🐈.png",
        "co::lon.jpg",
        "q?x#%41.jpg",
        "d" * 80 + "/e.jpg",
    ]
    if kind != tarfile.USTAR_FORMAT:
        names += ["long/" * 40 + "f.jpg", "n" * 180 + ".jpg"]
    path = tar_of(tmp_path / "a.tar", {name: name.encode() for name in names}, format=kind)
    assert read(found_in(path)) == {name.removeprefix("./"): name.encode() for name in names}


def test_as_the_command_makes_them(tmp_path):
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "a.jpg").write_bytes(b"first")
    (tmp_path / "d" / "b.jpg").hardlink_to(tmp_path / "d" / "sub" / "a.jpg")
    (tmp_path / "d" / "sub" / "c.jpg").symlink_to("../b.jpg")
    (tmp_path / "d" / "gone.jpg").symlink_to("/data/gone.jpg")
    os.mkfifo(tmp_path / "d" / "pipe.jpg")
    for kind in ("gnu", "posix"):
        path = tmp_path / f"{kind}.tar"
        assert not os.system(f"tar --format={kind} -C {tmp_path}/d -cf {path} .")
        found = found_in(path)
        assert read(found) == {"sub/a.jpg": b"first", "b.jpg": b"first", "sub/c.jpg": b"first"}
        assert found.ignored == {"(not a regular file)": 1}
        (row,) = found.unlisted.select(["path", "problem"]).to_pylist()
        assert row["path"] == "gone.jpg/"
        assert "is a link to /data/gone.jpg, which is not in it" in row["problem"]


def test_names_that_are_not_utf_8(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", errors="surrogateescape", format=tarfile.GNU_FORMAT) as archive:
        add(archive, os.fsdecode(b"caf\xe9.jpg"), b"latin")
        add(archive, "caf%E9.jpg", b"percent")
    assert read(found_in(path)) == {"./caf%E9.jpg": b"latin", "caf%E9.jpg": b"percent"}


def test_archives_laid_one_behind_the_other_are_read_to_the_end(tmp_path):
    one, two = (tar_of(tmp_path / f"{n}.tar", {f"{n}.jpg": n.encode()}) for n in "ab")
    both = tmp_path / "both.tar"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    assert read(found_in(both)) == {"a.jpg": b"a", "b.jpg": b"b"}


def test_names_with_dots_are_samples_of_their_own(tmp_path):
    said = {"img.v1": "sdxl", "img.v2": "flux", "img": "both"}
    members = {"img.v1.jpg": b"1", "img.v2.jpg": b"2", "img.v3.jpg": b"3"}
    members |= {f"{name}.json": json.dumps({"generator": g}).encode() for name, g in said.items()}
    found = found_in(tar_of(tmp_path / "a.tar", members))
    rows = found.files.select(["path", "generator"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("img.v1.jpg", "sdxl"),
        ("img.v2.jpg", "flux"),
        ("img.v3.jpg", "both"),
    ]


def test_one_name_twice_is_two_images(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "a.jpg", b"old")
        add(archive, "a.jpg", b"new")
    uris = found_in(path).files["uri"].to_pylist()
    assert [read_bytes(uri) for uri in uris] == [b"old", b"new"]


def damaged(path: Path, at: int, data: bytes) -> Path:
    whole = bytearray(path.read_bytes())
    whole[at : at + len(data)] = data
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize("member", [0, 1, 2])
def test_a_damaged_header_is_a_row_and_the_next_members_are_read(tmp_path, member):
    members = {f"{n}.jpg": str(n).encode() * 700 for n in range(3)}
    path = tar_of(tmp_path / "a.tar", members)
    damaged(path, member * 1536 + 5, b"XXXX")
    found = found_in(path)
    left = {name: data for name, data in members.items() if name != f"{member}.jpg"}
    assert read(found) == left
    (row,) = found.unlisted.select(["uri", "path", "problem"]).to_pylist()
    size = 1536 if member < 2 else 1536 + 1024 + path.stat().st_size - 3 * 1536 - 1024
    assert row["uri"] == f"tar://?at={member * 1536}&bytes={size}::{path}"
    assert row["problem"] == "a part of the archive: its header is damaged"


def test_an_archive_that_ends_early(tmp_path):
    members = {f"{n}.jpg": str(n).encode() * 700 for n in range(3)}
    path = tar_of(tmp_path / "a.tar", members)
    whole = path.read_bytes()
    path.write_bytes(whole[: 2 * 1536 + 512 + 100])  # within the third member
    found = found_in(path)
    uris = found.files["uri"].to_pylist()
    assert len(uris) == 3 and read_bytes(uris[1]) == members["1.jpg"]
    with pytest.raises(OSError, match="the archive ends early: 100 of 700 bytes"):
        read_bytes(uris[2])
    path.write_bytes(whole[: 2 * 1536 + 300])  # within the third header
    found = found_in(path)
    assert read(found) == {name: members[name] for name in ("0.jpg", "1.jpg")}
    assert len(found.unlisted) == 1


def test_sparse_files_and_hostile_headers_take_neither_memory_nor_depth(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for _ in range(3000):  # names of names of names …
            add(archive, "././@LongLink", b"x\0", type=tarfile.GNUTYPE_LONGNAME)
        add(archive, "a.jpg", b"a")
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**62
        archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
        archive.offset += 512
        add(archive, "b.jpg", b"b")
    found = found_in(path)
    assert "b.jpg" in found.files["path"].to_pylist()
    assert len(found.unlisted) >= 1


def test_a_sparse_file_is_said_to_be_one(tmp_path):
    path = tmp_path / "big.jpg"
    with path.open("wb") as file:
        file.truncate(2**20)
        file.seek(2**20)
        file.write(b"end")
    assert not os.system(f"tar -S -C {tmp_path} -cf {tmp_path}/a.tar big.jpg")
    with pytest.raises(UserError, match="sparse files are not read"):
        found_in(tmp_path / "a.tar")


def test_files_beside_an_image_that_cannot_be_read_are_its_problem(tmp_path):
    members = {f"{n}.jpg": b"x" for n in "abcde"}
    members |= {"a.json": b"{", "b.json": b"[1]", "c.txt": b"\xff", "d.json": b"{" * 5000}
    members |= {"e.json": json.dumps({"caption": "x" * 2**20}).encode()}
    rows = found_in(tar_of(tmp_path / "a.tar", members)).files.to_pylist()
    assert [row["problem"].partition(":")[0] for row in rows] == [
        f"the .{kind} beside it cannot be read" for kind in ("json", "json", "txt", "json", "json")
    ]


def test_values_of_several_kinds_and_within_others(tmp_path):
    said = [
        {"label": 0, "meta": {"model": "sdxl"}},
        {"label": "fake", "meta": {"model": 3}},
        {"label": None, "meta": "none"},
        {"label": 1.0},
        {"label": "\ud800"},
    ]
    members = {}
    for number, one in enumerate(said):
        members |= {f"{number}.jpg": b"x", f"{number}.json": json.dumps(one).encode()}
    path = tar_of(tmp_path / "a.tar", members)
    files = found_in(path, columns={"generator": "meta.model"}).files
    assert files["generator"].to_pylist() == ["sdxl", "3", None, None, None]
    assert files["label"].to_pylist() == [0, 1, None, None, None]
    assert [bool(text) for text in files["problem"].to_pylist()] == [False] * 3 + [True] * 2


def test_the_pass_is_one_over_headers_alone():
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size=-1):
            data = super().read(size)
            Counting.taken += len(data)
            return data

    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for number in range(200):
            add(archive, f"{number}.jpg", b"x" * 5000)
    found = list(tar.entries(Counting(whole.getvalue()), len(whole.getvalue())))
    assert len(found) == 200
    assert Counting.taken < 512 * 250
