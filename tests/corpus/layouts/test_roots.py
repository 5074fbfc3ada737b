"""Roots at the wrong level are recognised, and the right folder is named."""

import pytest

from pipeline.corpus.layouts.registry import Reading
from pipeline.corpus.layouts.roots import check_root
from pipeline.corpus.layouts.survey import survey
from pipeline.errors import UserError

SETS = ("progan", "biggan", "my_own_gan")
KINDS = ("0_real", "1_fake")
GENIMAGE = [f"ADM/imagenet_ai_0508_adm/{s}/{k}/1.png" for s in ("train", "val") for k in ("ai",)]


def check(layout, root, *paths):
    return check_root(survey(Reading(layout), paths), root)


def refused(layout, root, *paths):
    with pytest.raises(UserError) as caught:
        check(layout, root, *paths)
    return caught.value


@pytest.mark.parametrize(
    ("layout", "root", "paths", "folder", "where"),
    [
        # 25 generators below data/ would be one, called `data`
        (
            "forensynths",
            "/c",
            [f"data/{g}/{k}/1.png" for g in SETS for k in KINDS],
            "/c/data",
            "high",
        ),
        ("forensynths", "/c", [f"x/train/progan/cat/{k}/1.png" for k in KINDS], "/c/x", "high"),
        # the classes of progan would be generators
        (
            "forensynths",
            "/c/test/progan",
            ["cat/0_real/1.png", "dog/1_fake/1.png"],
            "/c/test",
            "low",
        ),
        ("forensynths", "/c/biggan", ["0_real/1.png", "1_fake/1.png"], "/c", "low"),
        ("genimage", "/c", [f"GenImage/{path}" for path in GENIMAGE], "/c/GenImage", "high"),
        ("genimage", "/c", ["GenImage/ADM/train/ai/1.png"], "/c/GenImage", "high"),
        ("genimage", "/c/ADM", ["train/ai/1.png", "val/nature/1.png"], "/c", "low"),
        ("genimage", "/c/ADM/val", ["ai/1.png", "nature/1.png"], "/c", "low"),
        ("univfd_diffusion", "/c", ["x/diffusion_datasets/laion/0_real/1.png"], "/c/x", "high"),
        ("univfd_diffusion", "/c/laion", ["0_real/1.png"], "/c", "low"),
        ("diffusion_forensics", "/c", ["D/images/test/imagenet/adm/1.png"], "/c/D", "high"),
        ("diffusion_forensics", "/c/images/test", ["imagenet/adm/1.png"], "/c/images", "low"),
        ("drct", "/c", ["a/DRCT-2M/sd-turbo/val2017/1.png"], "/c/a", "high"),
        ("drct", "/c/sd-turbo", ["val2017/1.png"], "/c", "low"),
        ("imagefolder", "/c/fake", ["1.png", "cats/2.png"], "/c", "low"),
        ("genimage", "s3://b/ADM", ["train/ai/1.png"], "s3://b", "low"),
    ],
)
def test_the_folder_to_use_is_named(layout, root, paths, folder, where):
    error = refused(layout, root, *paths)
    assert f"too {where} for the layout {layout}" in error.what
    assert error.where == root and error.hint == f"set `corpus.root` to {folder}"


def test_of_several_folders_that_would_do_the_fullest_is_named():
    paths = ["A/x/ADM/train/ai/1.png", "B/y/ADM/train/ai/1.png", "B/y/ADM/val/ai/1.png"]
    assert (
        refused("genimage", "/c", *paths).hint
        == "set `corpus.root` to /c/B/y (or one of 1 others beside it)"
    )


@pytest.mark.parametrize(
    ("root", "paths"),
    [
        ("/c", [f"progan/{c}/{k}/1.png" for c in ("cat", "dog", "own") for k in KINDS]),
        ("/c", [f"train/progan/{c}/{k}/1.png" for c in ("cat", "dog") for k in KINDS]),
        ("/c", ["own/0_real/1.png", "own/1_fake/1.png"]),
        ("/c", ["own/one_class/0_real/1.png", "own/one_class/1_fake/1.png"]),
        ("/c", ["a/x/0_real/1.png", "a/y/0_real/1.png", "b/x/1_fake/1.png"]),
        ("/c/progan_and_more", ["progan/cat/0_real/1.png", "stylegan/car/1_fake/1.png"]),
    ],
)
def test_classes_below_generators_are_as_they_should_be(root, paths):
    assert check("forensynths", root, *paths) == []


def test_what_may_be_right_is_a_warning():
    (own,) = check("forensynths", "/c", "own/a/0_real/1.png", "own/b/1_fake/1.png")
    assert own == (
        "all images are of one generator 'own', with a, b its classes: is that right? If not, set "
        "`corpus.root` to /c/own"
    )
    (kinds,) = check("forensynths", "/c", "GANs/progan/0_real/1.png", "Diffusion/ldm/1_fake/1.png")
    assert "'GANs' would be one generator, and progan below it its classes" in kinds
    (train,) = check("forensynths", "/c/train", "progan/cat/0_real/1.png")
    assert "set `corpus.root` to /c" in train and "is read as no split" in train
    (low,) = check("forensynths", "/c/progan", "mine/0_real/1.png", "his/1_fake/1.png")
    assert "each folder of the generator progan would be a generator" in low


def test_what_fits_by_accident_hides_nothing():
    # of a root too high, one of two: G/imagenet_glide is read as generator and archive
    paths = ["G/imagenet_glide/val/ai/1.png", "G/ADM/imagenet_ai_0508_adm/val/ai/1.png"]
    assert refused("genimage", "/c", *paths).hint == "set `corpus.root` to /c/G"


def test_a_few_stray_files_decide_nothing():
    strays = ["readme.png", "data.png"]
    assert check("genimage", "/c", *GENIMAGE * 10, *strays) == []


def test_when_nothing_fits_the_error_shows_examples():
    error = refused("genimage", "/c", "cats/a.png", "dogs/b.png")
    assert "no file fits the layout genimage, which expects GENERATOR/" in error.what
    assert "'cats/a.png' and 'dogs/b.png'" in error.where and "ai or nature" in error.where
    assert "forensynths" in error.hint and "regex" in error.hint
    assert check("genimage", "/c") == []
    other = survey(Reading("regex", pattern="(?P<label>real)/.*"), ["a/real/1.png"])
    with pytest.raises(UserError, match="no file fits the layout regex"):
        check_root(other, "/c")
