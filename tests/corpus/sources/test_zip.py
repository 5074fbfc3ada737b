"""Zips: damaged, encrypted, packed by other methods, and larger than they say."""

import zipfile

import pytest

from pipeline.corpus.sources.read import read_bytes
from tests.corpus.sources.conftest import zip_of
from tests.helpers.corpora import found_in


def uris(path):
    return found_in(path).files["uri"].to_pylist()


def test_stored_packed_and_long_names(tmp_path):
    path = tmp_path / "a.zip"
    members = {"a.jpg": b"", "co::lon.jpg": b"x" * 3000, "é/" * 100 + "b.png": b"y" * 70_000}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.mkdir("empty")
            for name, data in members.items():
                info = zipfile.ZipInfo(name)
                info.compress_type, info.extra = method, b"\x99\x99\xb8\x0b" + b"e" * 3000
                archive.writestr(info, data)
        found = found_in(path)
        assert [read_bytes(uri) for uri in found.files["uri"].to_pylist()] == list(members.values())
        assert found.files["path"].to_pylist() == list(members)
        assert found.files["bytes"].to_pylist() == [len(data) for data in members.values()]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_named(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a.jpg", b"x" * 100)
    (uri,) = uris(tmp_path / "a.zip")
    with pytest.raises(OSError, match=r"packed by (bzip2|LZMA), which is not read"):
        read_bytes(uri)


def test_damage_and_passwords_are_said(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"a.jpg": bytes(range(256)) * 20})
    (uri,) = uris(path)
    whole = path.read_bytes()
    for at, says in ((0, "no member begins here"), (60, "the archive is damaged")):
        path.write_bytes(whole[:at] + b"\xff\xff\xff" + whole[at + 3 :])
        with pytest.raises(OSError, match=says):
            read_bytes(uri)
    path.write_bytes(whole[:6] + b"\x01" + whole[7:])
    with pytest.raises(OSError, match="encrypted"):
        read_bytes(uri)
    path.write_bytes(whole[:50])
    with pytest.raises(OSError, match="ends early"):
        read_bytes(uri)


def test_a_member_never_takes_more_than_its_directory_says(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"a.jpg": bytes(50_000_000)})
    (uri,) = uris(path)
    with pytest.raises(OSError, match="its checksum differs"):
        read_bytes(uri.replace("bytes=50000000", "bytes=100"))
