import pytest

from pipeline.corpus.layouts.registry import (
    LAYOUTS,
    Labels,
    Misfit,
    count_misfits,
    get_layout,
    labels,
)
from pipeline.errors import UserError


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("progan/0_real/1.png", Labels(0, "progan")),
        ("progan/1_fake/1.png", Labels(1, "progan")),
        ("progan/cat/0_real/1.png", Labels(0, "progan", class_name="cat")),
        ("test/progan/cat/1_fake/1.png", Labels(1, "progan", split="test", class_name="cat")),
        ("train/biggan/1_fake/1.png", Labels(1, "biggan", split="train")),
        ("val/gan/a/b/0_real/1.png", Labels(0, "gan", split="val", class_name="a/b")),
        ("sd v1.5/test/1_fake/ü.JPG", Labels(1, "sd v1.5", class_name="test")),
    ],
)
def test_forensynths(path, expected):
    assert labels("forensynths", path) == expected


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a.png", "not in a folder 0_real or 1_fake"),
        ("progan/a.png", "not in a folder 0_real or 1_fake"),
        ("progan/1_FAKE/a.png", "not in a folder 0_real or 1_fake"),
        ("progan/0_real/deeper/a.png", "not in a folder 0_real or 1_fake"),
        ("0_real/a.png", "no generator's folder above 0_real"),
        ("test/1_fake/a.png", "no generator's folder above 1_fake"),
        ("progan/1_fake/0_real/a.png", "more than one folder"),
    ],
)
def test_forensynths_misfits(path, why):
    with pytest.raises(Misfit, match=f"path does not fit the layout forensynths: .*{why}"):
        labels("forensynths", path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ADM/imagenet_ai_0508_adm/train/ai/0.PNG", Labels(1, "ADM", split="train")),
        ("ADM/imagenet_ai_0508_adm/val/nature/n.JPEG", Labels(0, "ADM", split="val")),
        (
            "stable_diffusion_v_1_4/imagenet_ai_0419_sdv4/train/nature/x.JPEG",
            Labels(0, "stable_diffusion_v_1_4", split="train"),
        ),
    ],
)
def test_genimage_by_name_not_by_order(path, expected):
    assert labels("genimage", path) == expected


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("0.png", "not in a folder ai or nature"),
        ("ADM/imagenet_ai_0508_adm/train/AI/0.png", "not in a folder ai or nature"),
        ("imagenet_ai_0508_adm/train/ai/0.png", "3 folders above the file, not 4"),
        ("GenImage/ADM/imagenet_ai_0508_adm/train/ai/0.png", "5 folders above the file"),
        ("ADM/imagenet_ai_0508_adm/test/ai/0.png", "'test' is neither train nor val"),
    ],
)
def test_genimage_misfits(path, why):
    with pytest.raises(Misfit, match=f"path does not fit the layout genimage: .*{why}"):
        labels("genimage", path)


def test_folder():
    assert labels("folder", "a.png") == Labels()
    assert labels("folder", "x/y/0_real/a.png") == Labels(class_name="x/y/0_real")


def test_dataset_is_given_from_outside():
    assert labels("folder", "a.png", dataset="mine") == Labels(dataset="mine")
    assert labels("forensynths", "g/0_real/a.png", "mine") == Labels(0, "g", "mine")


def test_every_layout_says_what_it_expects():
    assert {"forensynths", "folder", "genimage"} <= LAYOUTS.keys()
    for name, layout in LAYOUTS.items():
        assert layout.name == name
        assert layout.expects
        assert layout.read.__doc__


def test_unknown_layout_names_the_nearest():
    with pytest.raises(UserError, match="there is no layout 'forensynth'") as caught:
        get_layout("forensynth")
    assert caught.value.hint == "did you mean 'forensynths'?"


def test_misfits_are_counted_while_something_fits():
    assert count_misfits("forensynths", ["g/0_real/a.png", "b.png", "c.png"]) == 2
    assert count_misfits("folder", ["a.png"]) == 0
    assert count_misfits("forensynths", []) == 0


def test_when_nothing_fits_the_error_shows_examples():
    with pytest.raises(UserError) as caught:
        count_misfits("forensynths", ["0_real/a.png", "1_fake/b.png", "1_fake/c.png"])
    text = str(caught.value)
    assert "no file fits the layout forensynths" in text
    assert "{0_real,1_fake}/FILE" in text
    assert "'0_real/a.png' and '1_fake/b.png'" in text
    assert "no generator's folder" in text
    assert "folder, forensynths" in caught.value.hint
