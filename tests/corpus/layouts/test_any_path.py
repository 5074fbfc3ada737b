"""Layouts on any paths: what is written in them comes back, and nothing is lost or guessed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.corpus.layouts.auto import recognised
from pipeline.corpus.layouts.genimage import INNER
from pipeline.corpus.layouts.labels import SPLITS, Labels, Misfit
from pipeline.corpus.layouts.registry import LAYOUTS, Reading
from pipeline.corpus.layouts.roots import better_roots, check_root
from pipeline.corpus.layouts.survey import survey
from pipeline.corpus.layouts.vocabulary import FAKE, REAL, is_generator, label_of, split_of
from pipeline.corpus.names import folders_of
from pipeline.errors import UserError

SAID = {*SPLITS, "0_real", "1_fake", "ai", "nature", "0", "1", "real", "fake", "progan", "laion"}
SAID |= {"guided", "images", "imagenet", "train2017", "MSCOCO", "sd-turbo", "diffusion_datasets"}
ANY = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1)
SAID |= {"all.tar", "train-00001-of-00009.parquet", "real.zip", "a.parquet"}


def means_nothing(name: str) -> bool:
    """Whether a folder of this name says nothing, and is called as it is."""
    says = name[0] == "." or label_of(name) is not None or split_of(name) is not None
    return not says and folders_of(f"{name}/") == (name,)


NAME = ANY.filter(means_nothing)
PATH = st.lists(st.one_of(st.sampled_from(sorted(SAID)), NAME), max_size=5).map(
    lambda folders: "/".join((*folders, "a.png"))
)
PATHS = st.lists(PATH, min_size=1, max_size=8)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(paths=PATHS)
def test_a_path_says_the_same_in_any_company_and_order(layout, paths):
    reading = Reading(layout)
    found = reading.read(paths)
    assert reading.read(paths[::-1]) == found[::-1] or any(isinstance(f, Misfit) for f in found)
    for path, one in zip(paths, found, strict=True):
        (alone,) = reading.read([path])
        assert str(alone) == str(one)
        if isinstance(one, Labels):
            assert one.label in (0, 1, None) and one.split in (*SPLITS, None)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(paths=PATHS)
def test_every_path_is_counted_once(layout, paths):
    whole = survey(Reading(layout), paths)
    assert whole.paths == len(paths)
    assert sum(row.images for row in whole.rows()) + whole.misfits == len(paths)
    assert sum(images for *_, images in whole.causes()) == whole.misfits
    list(whole.lines())


@given(PATHS, st.sampled_from(["/c", "/c/progan", "/c/fake", "/c/train", "s3://b/x"]))
def test_auto_and_the_root_end_in_a_name_or_in_words_for_the_user(paths, root):
    try:
        layout = recognised(paths, root)
    except UserError as error:
        assert error.hint
    else:
        whole = survey(Reading(layout), paths)
        assert whole.misfits <= 0.1 * len(paths)
    for name in LAYOUTS:
        try:
            check_root(survey(Reading(name), paths), root)
        except UserError as error:
            assert error.hint


@given(st.none() | st.sampled_from(SPLITS), NAME, st.lists(NAME, max_size=3), st.booleans())
def test_forensynths_comes_back(split, generator, classes, fake):
    kind = ("0_real", "1_fake")[fake]
    path = "/".join([*([split] if split else []), generator, *classes, kind, "a.png"])
    expected = Labels(int(fake), generator, split=split, class_name="/".join(classes) or None)
    assert Reading("forensynths").labels(path) == expected


@given(
    NAME,
    st.none() | st.sampled_from(sorted(INNER)),
    st.sampled_from(["train", "val"]),
    st.booleans(),
)
def test_genimage_comes_back(generator, inner, split, fake):
    path = "/".join(
        [generator, *([inner] if inner else []), split, ("nature", "ai")[fake], "a.png"]
    )
    known = INNER.get(inner or generator, generator)
    assert Reading("genimage").labels(path) == Labels(int(fake), known, split=split)


@given(
    st.sampled_from(sorted(REAL)) | st.sampled_from(sorted(FAKE)),
    st.sampled_from([str.upper, str.title, lambda word: word.replace("_", "-")]),
    st.lists(NAME, max_size=2),
    st.lists(NAME, max_size=2),
)
def test_imagefolder_reads_a_word_however_it_is_spelt(word, spelt, above, below):
    path = "/".join([*above, spelt(word), *below, "a.png"])
    expected = Labels(
        int(word in FAKE), "/".join(above) or None, class_name="/".join(below) or None
    )
    assert Reading("imagefolder").labels(path) == expected


GOOD = {
    "genimage": "ADM/imagenet_ai_0508_adm/val/ai/a.png",
    "diffusion_forensics": "images/test/imagenet/adm/a.png",
    "drct": "DRCT-2M/sd-turbo/val2017/a.png",
}


@pytest.mark.parametrize("layout", GOOD)
@given(up=st.lists(NAME, min_size=1, max_size=2))
def test_a_root_that_is_too_high_is_found_from_any_folder(layout, up):
    path = "/".join([*up, GOOD[layout]])
    ((folders, where),) = better_roots(survey(Reading(layout), [path]), "/c")
    assert where == "high" and folders == ["/".join(["/c", *up])]


@given(NAME.filter(lambda name: not is_generator(name)))
@example("photographs.parquet")  # as some call a folder, and a table
def test_forensynths_a_level_too_high_is_found_below_any_folder(name):
    paths = [f"{name}/{g}/{k}/a.png" for g in ("progan", "own") for k in ("0_real", "1_fake")]
    with pytest.raises(UserError) as caught:
        check_root(survey(Reading("forensynths"), paths), "/c")
    assert caught.value.hint == f"set `corpus.root` to /c/{name}"
