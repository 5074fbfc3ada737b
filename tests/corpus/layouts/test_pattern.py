"""The layout regex: named groups over whole paths."""

import time

import pytest

from pipeline.corpus.layouts.labels import Labels, Misfit
from pipeline.corpus.layouts.pattern import check_pattern
from pipeline.corpus.layouts.registry import Reading


def read(pattern, *paths, dataset=None):
    return Reading("regex", dataset, pattern).read(paths)


def test_groups_are_labels_by_the_vocabulary():
    pattern = r"(?P<split>[a-z]+)/(?P<generator>\w+)-(?P<label>\w+)/(?:(?P<class_name>.+)/)?[^/]+"
    found = read(pattern, "validation/sdxl-Synthetic/cats/small/a.png", "x/gan-0/é.jpg")
    assert found == [Labels(1, "sdxl", None, "val", "cats/small"), Labels(0, "gan", None, "x")]
    (mine,) = read("(?P<generator>[^/]+)/.*", "a/b.jpg", dataset="mine")
    assert mine == Labels(generator="a", dataset="mine")


def test_a_name_may_say_it_too():
    assert read(r".*(?P<label>real|fake)_\d+\.png", "all/fake_12.png") == [Labels(1)]


def test_all_of_the_path_must_match_and_labels_be_words():
    short, odd = read(r"(?P<label>\w+)/\w+", "real/a.png", "cats/a")
    assert isinstance(short, Misfit) and "does not match the pattern" in str(short)
    assert isinstance(odd, Misfit) and "'cats' is no word for real or fake" in str(odd)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?P<label>", "missing \\)"),
        ("(a)(?P<label>b)", "unnamed groups; name each group"),
        ("(?P<lable>a)", "there is no group 'lable': did you mean 'label'"),
        ("real/.*", "no named group"),
        ("(?P<label>a)|(?P<label>b)", "the group 'label' is there twice"),
        ("(?=a)(?P<label>a)", "invalid perl operator"),
    ],
)
def test_a_pattern_that_cannot_be_is_refused(pattern, why):
    with pytest.raises(ValueError, match=why):
        check_pattern(pattern)


def test_no_pattern_takes_for_ever():
    began = time.monotonic()
    (found,) = read("(?:(?:a+)+)+(?P<label>b)", "a" * 5000)
    assert isinstance(found, Misfit)
    assert time.monotonic() - began < 30  # Python's own `re` would not come back in a lifetime
