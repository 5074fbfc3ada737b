import hashlib

import pytest

from pipeline.errors import UserError
from pipeline.models.weights import url_download
from tests.helpers.hub import FakeHub

DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def hub():
    hub = FakeHub()
    names = {f"{DIGEST}/model.pt": DATA, "w-00000000.pt": DATA, "plain.pt": DATA}
    hub.commit("lab/files", names)
    yield hub
    hub.close()


def url(hub, name):
    return f"{hub.url}/lab/files/resolve/main/{name}"


def test_it_goes_on_where_a_killed_run_stopped(hub, tmp_path):
    path = tmp_path / "cache" / "plain.pt"
    path.parent.mkdir()
    (path.parent / "plain.pt.part").write_bytes(DATA[:1000])
    assert url_download.size(url(hub, "plain.pt")) == len(DATA)
    assert url_download.download(url(hub, "plain.pt"), path, None) == DIGEST
    assert hub.resumed == [1000]
    assert path.read_bytes() == DATA and len(list(path.parent.iterdir())) == 1
    hub.downloads.clear()
    assert url_download.download(url(hub, "plain.pt"), path, DIGEST) == DIGEST
    assert hub.downloads == []


@pytest.mark.parametrize(("name", "digest"), [("w-00000000.pt", None), ("plain.pt", "0" * 64)])
def test_content_of_another_hash_is_not_kept(hub, tmp_path, name, digest):
    path = tmp_path / name
    with pytest.raises(UserError, match="the downloaded weights have the SHA-256"):
        url_download.download(url(hub, name), path, digest)
    assert list(tmp_path.iterdir()) == []


def test_a_hash_in_the_url_counts(hub, tmp_path):
    path = tmp_path / "model.pt"
    assert url_download.download(url(hub, f"{DIGEST}/model.pt"), path, None) == DIGEST


def test_what_is_absent(tmp_path):
    path, sizes = tmp_path / "a.pt", {"a.pt": len(DATA)}
    assert url_download.absent(path, sizes, None) == sizes
    path.write_bytes(DATA[1:])
    assert url_download.absent(path, sizes, None) == sizes
    path.write_bytes(DATA)
    assert url_download.absent(path, sizes, DIGEST) == {}
    assert url_download.absent(path, sizes, "0" * 64) == sizes


def test_an_address_that_does_not_answer(tmp_path):
    with pytest.raises(UserError, match="cannot be reached"):
        url_download.size("http://127.0.0.1:9/a.pt")
    with pytest.raises(UserError, match="the download broke"):
        url_download.download("http://127.0.0.1:9/a.pt", tmp_path / "a.pt", None)
