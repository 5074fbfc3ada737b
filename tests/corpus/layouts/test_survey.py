"""The mapping of a whole corpus: folders -> labels, with counts."""

from pipeline.corpus.layouts.registry import Reading
from pipeline.corpus.layouts.survey import Row, survey


def rows(layout, *paths):
    return survey(Reading(layout), paths).rows()


def test_folders_of_one_meaning_are_one_row():
    paths = [f"train/progan/{c}/{k}/1.png" for c in ("cat", "dog") for k in ("0_real", "1_fake")]
    assert rows("forensynths", *paths, "test/biggan/1_fake/1.png", "test/biggan/1_fake/2.png") == [
        Row("test/biggan/1_fake", 1, "biggan", "test", 2),
        Row("train/progan/*/0_real", 0, "progan", "train", 2),
        Row("train/progan/*/1_fake", 1, "progan", "train", 2),
    ]


def test_folders_of_different_depths():
    assert rows("imagefolder", "real/a.png", "real/x/a.png", "real/x/y/a.png") == [
        Row("real/**", 0, None, None, 3)
    ]
    assert rows("unlabelled", "a.png") == [Row(".", None, None, None, 1)]


def test_the_table_counts_what_fits_and_says_what_does_not():
    found = survey(Reading("genimage"), ["ADM/val/ai/1.png", "ADM/val/ai/2.png", "stray/3.png"])
    assert (found.paths, found.misfits) == (3, 1)
    assert list(found.lines()) == [
        "labels by the layout genimage, of 3 image files:",
        "  folders     label  generator  split  images",
        "  ADM/val/ai  fake   ADM        val         2",
        "  1 without labels, such as stray/3.png: path does not fit the layout genimage: the file "
        "is not in a folder ai or nature",
    ]
    assert found.plain() == {
        "layout": "genimage",
        "mapping": [
            {"folders": "ADM/val/ai", "label": 1, "generator": "ADM", "split": "val", "images": 2}
        ],
        "misfits": [{"reason": found.causes()[0][0], "example": "stray/3.png", "images": 1}],
    }


def test_the_table_is_a_screen_and_the_rest_is_counted():
    found = survey(
        Reading("forensynths"), [f"g{i:02d}/0_real/{j}.png" for i in range(40) for j in "ab"]
    )
    lines = list(found.lines())
    assert len(lines) == 27 and lines[-1] == "  and 16 rows more, 32 images"
    assert len(found.plain()["mapping"]) == 40


def test_by_a_pattern_files_of_one_folder_may_say_different_things():
    reading = Reading("regex", pattern=r"(?P<generator>\w+)/(?P<label>real|fake)_.*")
    paths = ["gan/fake_1.png", "gan/real_1.png", "gan/fake_2.png", "gan/x.png", "x/real_3.png"]
    found = survey(reading, paths)
    assert found.rows() == [
        Row("gan", 0, "gan", None, 1),
        Row("gan", 1, "gan", None, 2),
        Row("x", 0, "x", None, 1),
    ]
    assert (found.paths, found.misfits) == (5, 1)
    assert [images for *_, images in found.causes()] == [1]
    assert next(found.examples()) == "  gan/fake_1.png: fake, generator gan"


def test_ten_examples_from_everywhere():
    found = survey(Reading("forensynths"), [f"g{i:02d}/1_fake/x.png" for i in range(20)])
    examples = list(found.examples())
    assert len(examples) == 10
    assert examples[0] == "  g00/1_fake/x.png: fake, generator g00"
    assert examples[-1] == "  g18/1_fake/x.png: fake, generator g18"


def test_a_name_that_is_no_text_is_shown_encoded():
    (row,) = rows("forensynths", "./caf%E9%20x/0_real/a.png")
    assert (row.folders, row.generator) == ("caf%E9%20x/0_real", "caf%E9%20x")
