from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.sources.packed.members import Member, member_uri, parsed

raw = st.binary(min_size=1, max_size=60).map(lambda name: name.decode("utf-8", "surrogateescape"))
names = st.one_of(raw, st.text(st.characters(exclude_categories=("Cs",)), max_size=60))


@given(
    names, st.sampled_from(["/data/a::b.tar", "s3://bucket/a.tar", "simplecache::s3://b/c?.tar"])
)
def test_a_uri_gives_its_member_back_and_is_text(name, archive):
    uri = member_uri("tar", name, archive, "at=512&bytes=7")
    uri.encode()
    assert parsed(uri) == Member("tar", name, archive, {"at": 512, "bytes": 7})
    assert not any(ord(letter) < 32 for letter in uri)


def test_names_are_readable_where_nothing_stands_against_it():
    uri = member_uri("zip", "日本/猫 1.jpg", "/data/a.zip", "at=0")
    assert uri == "zip://日本/猫 1.jpg?at=0::/data/a.zip"


def test_other_uris_are_no_members():
    for uri in ("/data/tar://a?b::c", "s3://a/b?c::d", "tar://a.jpg::/x.tar", "tar://a?b=c::/x"):
        assert parsed(uri) is None
