"""`layout: auto`: one layout, or a stop that says what to write."""

import pytest

from pipeline.corpus.layouts.auto import recognised
from pipeline.errors import UserError
from tests.corpus.layouts.test_layouts import FITS


def stops(*paths, root="/c"):
    with pytest.raises(UserError) as caught:
        recognised(paths, root)
    return caught.value


@pytest.mark.parametrize("layout", list(FITS)[:5])
def test_each_layout_is_recognised_by_its_own_paths(layout):
    assert recognised(list(FITS[layout]), "/c") == layout


def test_plain_words_are_an_imagefolder():
    assert recognised(["train/REAL/1.jpg", "train/FAKE/1.jpg"], "/c") == "imagefolder"
    assert recognised(["sdxl/real/1.jpg", "sdxl/synthetic/1.jpg"], "/c") == "imagefolder"
    assert recognised(["0_real/1.jpg", "1_fake/1.jpg"], "/c") == "imagefolder"


def test_a_follower_of_forensynths_is_not_taken_for_univfd():
    paths = [f"test/{g}/{k}/1.png" for g in ("ldm_200", "sdxl") for k in ("0_real", "1_fake")]
    assert recognised(paths, "/c") == "forensynths"
    own_reals = [f"{g}/{k}/1.png" for g in ("guided", "dalle") for k in ("0_real", "1_fake")]
    assert recognised(own_reals, "/c") == "forensynths"


def test_numbers_may_be_classes():
    error = stops("0/a.png", "1/a.png")
    assert "folders called 0 and 1 may be labels or classes" in error.what
    assert "imagefolder" in error.hint and "unlabelled" in error.hint
    assert recognised([f"{n}/a.png" for n in range(10)], "/c") == "unlabelled"


def test_where_two_fit_differently_it_stops():
    # archives of GenImage, in a folder that DRCT's layout knows as well, cannot be: made up
    from pipeline.corpus.layouts import auto
    from pipeline.corpus.layouts.labels import Labels, Layout

    layouts = {
        "one": Layout("one", "x", lambda folders: Labels(0, folders[0])),
        "two": Layout("two", "x", lambda folders: Labels(0, folders[-1])),
        **{name: auto.LAYOUTS[name] for name in ("imagefolder", "unlabelled")},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.corpus.layouts.registry.LAYOUTS", layouts)
        patch.setattr(auto, "LAYOUTS", layouts)
        error = stops("a/b/1.png")
        assert "two layouts fit this corpus, one and two" in error.what
        assert "generator='a'" in error.where and "generator='b'" in error.where
        assert recognised(["a/1.png"], "/c") == "one"  # they read it alike


@pytest.mark.parametrize(
    ("root", "paths", "layout", "folder"),
    [
        ("/c", ["G/ADM/imagenet_ai_0508_adm/val/ai/1.png"], "genimage", "/c/G"),
        ("/c/ADM/imagenet_ai_0508_adm", ["val/ai/1.png"], "genimage", "/c/ADM"),
        ("/c/biggan", ["0_real/1.png", "1_fake/1.png"], "forensynths", "/c"),
        ("/c/sd-turbo", ["val2017/1.png"], "drct", "/c"),
        ("/c/fake", ["1.png"], "imagefolder", "/c"),
    ],
)
def test_a_root_at_the_wrong_level_is_named(root, paths, layout, folder):
    error = stops(*paths, root=root)
    assert f"this would be {layout} if the corpus root were not too" in error.what
    assert f"set `corpus.root` to {folder}," in error.hint


def test_labels_of_some_are_not_lost_without_a_word():
    error = stops("real/a.png", "cats/b.png", "dogs/c.png")
    assert "of 1 images and not of the other 2" in error.what
    assert "real/a.png and cats/b.png" in error.where
    assert recognised(["cats/b.png", "dogs/1/c.png"], "/c") == "unlabelled"
