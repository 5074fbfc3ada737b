import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.names import (
    encoded_uri,
    folders_of,
    is_text,
    local_name,
    path_of,
    readable,
    uri_of,
)

NAME = st.binary(min_size=1).filter(lambda name: not {0, 47} & {*name} and name[:1] != b".")
PATH = st.lists(NAME, min_size=1, max_size=4).map(b"/".join)


@given(PATH)
def test_a_name_comes_back_as_it_was_and_is_text(path):
    name = os.fsdecode(b"/data/" + path)
    uri = uri_of(name)
    assert is_text(uri) and local_name(uri) == name
    assert is_text(path_of(name.removeprefix("/data/")))
    assert uri == name if is_text(name) else uri.startswith("file:///data/")


@given(PATH, PATH)
def test_no_two_names_are_written_alike(one, other):
    uris = [uri_of(os.fsdecode(b"/" + path)) for path in (one, other)]
    paths = [path_of(os.fsdecode(path)) for path in (one, other)]
    assert (uris[0] == uris[1]) == (paths[0] == paths[1]) == (one == other)


@pytest.mark.parametrize("twin", [b"%FF.jpg", b"\xff.jpg", b".%2FFF.jpg", b"%25FF.jpg"])
def test_what_is_called_like_an_encoded_name_is_another(twin):
    others = {b"%FF.jpg", b"\xff.jpg", b".%2FFF.jpg", b"%25FF.jpg"} - {twin}
    assert path_of(os.fsdecode(twin)) not in {path_of(os.fsdecode(one)) for one in others}


@given(PATH)
def test_folders_are_text_and_as_many_as_they_are(path):
    folders = folders_of(path_of(os.fsdecode(path)))
    assert len(folders) == path.count(b"/") and all(map(is_text, folders))


def test_only_what_must_be_is_encoded_for_people():
    path = path_of(os.fsdecode(b"sd v1.5/caf\xe9 1/\xc3\xa9.jpg"))
    assert path == "./sd%20v1.5/caf%E9%201/%C3%A9.jpg"
    assert readable(path) == "sd v1.5/caf%E9%201/\u00e9.jpg"
    assert folders_of(path) == ("sd v1.5", "caf%E9%201")
    assert readable("a %41/b.jpg") == "a %41/b.jpg"
    assert encoded_uri("/d \u00e9/") == "file:///d%20%C3%A9/"
