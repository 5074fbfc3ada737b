import pytest

from pipeline.errors import UserError
from pipeline.head.vectors.memory import SHARE, default, parse, words


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2_000_000_000),
        ("2 GB", 2_000_000_000),
        ("2g", 2_000_000_000),
        ("1.5MiB", 1_572_864),
        ("500kb", 500_000),
        ("1TB", 10**12),
    ],
)
def test_sizes_are_read(text, size):
    assert parse(text) == size


@pytest.mark.parametrize(
    "text", ["", "2", "GB", "-2GB", "2 GB RAM", "0MB", "2,5GB", "9" * 400 + "GB"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UserError, match=r"is no size of memory(?s:.*)2GB"):
        parse(text)


def test_none_given_is_half_of_what_there_is():
    from distributed.system import MEMORY_LIMIT

    assert parse(None) is None
    assert default() == int(MEMORY_LIMIT * SHARE)


@pytest.mark.parametrize(
    ("size", "text"),
    [(1, "0.01KB"), (1_234, "1.24KB"), (99_999, "100KB"), (2 * 10**9, "2GB"), (12.31e9, "12.4GB")],
)
def test_a_size_in_words_is_read_as_no_less(size, text):
    assert words(size) == text
    assert parse(text) >= size
