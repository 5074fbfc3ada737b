"""Each leak is planted in a corpus that is otherwise clean, and found there and nowhere else."""

import numpy as np
import pytest

from pipeline.audit import predictable as predictable_module
from pipeline.audit.facts import name_tokens
from pipeline.audit.predictable import predictable
from pipeline.audit.rows import groups
from pipeline.query.questions import connect


def judged(connection) -> dict[str, object]:
    return {one.check: one for one in predictable(connection, groups(connection))}


def told(found) -> set[tuple[str, str]]:
    return {(one.check, one.verdict) for one in found.values() if one.verdict != "ok"}


def only(monkeypatch, *checks):
    """Only these facts are asked, which is quicker."""
    some = tuple(fact for fact in predictable_module.FACTS if fact.check in checks)
    monkeypatch.setattr(predictable_module, "FACTS", some)


def one_generator(corpus):
    return corpus(num=160, generators=("gan",))


def test_nothing_is_told_of_a_clean_corpus(corpus, opened):
    found = judged(opened(corpus()))
    assert told(found) == set()
    assert len(found) == 12
    (whole, *each) = found["file size"].details
    assert (whole["generator"], whole["reals"], whole["fakes"]) == (None, 320, 320)
    assert [row["generator"] for row in each] == ["gan", "vae"]
    assert all(row["low"] < 0.5 < row["high"] for row in (whole, *each))
    assert found["format"].advice == found["format"].seen == ""


def test_what_is_the_same_of_all_images_is_said(corpus, opened):
    made = corpus(num=20)
    made.listing["mode"] = ["RGB"] * len(made.fake)
    found = judged(opened(made))
    assert found["colour mode"].figure == "AUROC 0.500, the same of all"
    assert found["format"].figure.startswith("AUROC 0.") and "[" in found["format"].figure


def test_few_images_give_no_false_alarm(corpus, tmp_path):
    """Five audits of 40 images: 60 verdicts."""
    for seed in range(5):
        made = corpus(num=10, seed=seed, generators=("gan",))
        connection = connect(made.write(tmp_path / str(seed)))
        assert told(judged(connection)) <= {
            ("JPEG quality", "not judged"),
            ("JPEG tables", "not judged"),
        }


def test_too_few_images_are_not_judged(corpus, opened):
    found = judged(opened(corpus(num=4)))
    assert {one.verdict for one in found.values()} == {"not judged"}
    assert found["size"].figure == "16 real and 16 fake images: too few"


def _format(made):
    made.where("format", made.fake == 1, "WEBP")


def _size(made):
    made.where("width", made.fake == 1, 512)
    made.where("height", made.fake == 1, 512)


def _exactly(made):
    """Widths of all kinds, but every fake's is one of them."""
    made.listing["width"] = np.random.default_rng(9).integers(400, 640, len(made.fake)).tolist()
    made.where("width", made.fake == 1, 512)
    made.listing["height"] = list(made.listing["width"])


def _bytes(made):
    made.listing["bytes"] = [
        b + 100_000 * f for b, f in zip(made.listing["bytes"], made.fake, strict=True)
    ]


def _quality(made):
    made.listing["format"] = ["JPEG"] * len(made.fake)
    made.listing["jpeg_quality"] = [95 - 3 * int(f) for f in made.fake]
    made.listing["jpeg_tables"] = ["0" * 16] * len(made.fake)


def _tables(made):
    made.listing["format"] = ["JPEG"] * len(made.fake)
    made.listing["jpeg_quality"] = [90] * len(made.fake)
    made.listing["jpeg_tables"] = [f"{int(f):016x}" for f in made.fake]


def _mode(made):
    made.where("mode", made.fake == 1, "RGB")
    made.where("mode", made.fake == 0, "L")


def _exif(made):
    made.listing["has_exif"] = [not f for f in made.fake]


@pytest.mark.parametrize(
    ("plant", "check", "also", "seen"),
    [
        (_format, "format", {"JPEG quality", "JPEG tables"}, "fake: WEBP 100 %"),
        (_size, "size", {"aspect", "bytes per pixel"}, "fake: 512x512 100 %"),
        (_exactly, "size", {"bytes per pixel"}, "fake: 512x512 100 %"),
        (_bytes, "file size", {"bytes per pixel"}, "real: median "),
        (_quality, "JPEG quality", set(), "real: median 95 (80 %: 95 to 95); fake: median 92"),
        (_tables, "JPEG tables", set(), "real: 0000000000000000 100 %; fake: 0000000000000001"),
        (_mode, "colour mode", set(), "real: L 100 %; fake: RGB 100 %"),
        (_exif, "EXIF", set(), "real: EXIF, orientation 1 100 %; fake: no EXIF 100 %"),
    ],
)
def test_a_fact_that_tells_is_a_leak_alone_and_with_the_others(
    corpus, opened, plant, check, also, seen
):
    made = one_generator(corpus)
    plant(made)
    found = judged(opened(made))
    one = found[check]
    assert one.verdict == "leak"
    assert one.details[0]["auroc"] > 0.95
    assert seen in one.seen
    assert one.advice
    leaks = {name for name, other in found.items() if other.verdict == "leak"}
    assert {check, "all facts together"} <= leaks <= {check, "all facts together", *also}
    others = {name for name, verdict in told(found)} - leaks
    assert others <= also


def test_what_only_two_facts_together_tell_is_found_together(corpus, opened):
    made = one_generator(corpus)
    grey = np.random.default_rng(5).random(len(made.fake)) < 0.5
    made.listing["mode"] = np.where(grey, "L", "RGB").tolist()
    made.listing["has_exif"] = (grey == (made.fake == 1)).tolist()
    found = judged(opened(made))
    assert told(found) == {("all facts together", "leak")}


def test_a_leak_of_one_generator_is_a_leak(corpus, opened, monkeypatch):
    only(monkeypatch, "colour mode")
    made = corpus(generators=("gan", "vae", "flow", "ldm", "glide", "sd"))
    made.where("mode", made.of("vae"), "RGB")
    made.where("mode", made.of("vae") & (made.fake == 1), "L")
    one = judged(opened(made))["colour mode"]
    assert one.verdict == "leak"
    assert one.details[0]["low"] < 0.6
    assert "; vae 1.000 [" in one.figure
    assert one.seen == "vae: real: RGB 100 %; fake: L 100 %"
    verdicts = {row["generator"]: row["auroc"] > 0.75 for row in one.details}
    assert [name for name, leaks in verdicts.items() if leaks] == ["vae"]


def test_a_generator_without_reals_is_held_against_those_of_all(corpus, opened, monkeypatch):
    only(monkeypatch, "colour mode")
    made = corpus()
    keep = ~(made.of("vae") & (made.fake == 0))
    made.listing = {
        name: [value for value, kept in zip(values, keep, strict=True) if kept]
        for name, values in made.listing.items()
    }
    found = judged(opened(made))["colour mode"]
    rows = {row["generator"]: row for row in found.details}
    assert rows["vae"]["reals_of_others"]
    assert (rows["vae"]["reals"], rows["vae"]["fakes"]) == (160, 160)
    assert not rows["gan"]["reals_of_others"]


def test_an_image_with_two_labels_has_none(corpus, opened, monkeypatch):
    only(monkeypatch, "format")
    made = corpus()
    made.repeat(0, label=1)
    found = judged(opened(made))["format"].details[0]
    assert (found["reals"], found["fakes"]) == (319, 320)


def test_names_are_looked_at_and_the_folder_that_holds_the_label_is_not(
    corpus, opened, monkeypatch
):
    only(monkeypatch)
    made = one_generator(corpus)
    assert judged(opened(made))["file name"].verdict == "ok"
    uris = zip(made.listing["uri"], made.fake, strict=True)
    made.listing["uri"] = [u.replace("/0", "/COCO_0") if not f else u for u, f in uris]
    one = judged(opened(made))["file name"]
    assert (one.verdict, one.details[0]["auroc"] > 0.99) == ("look", True)
    assert "word coco" in one.seen


@pytest.mark.parametrize(
    ("uri", "tokens"),
    [
        (
            "file:///c/1_fake/COCO_000042.jpg",
            ["6 digits", "length 11", "number 42", "number 4x", "shape a_9", "word coco"],
        ),
        (
            "/c/0_real/7.5.png",
            ["1 digits", "length 3", "number 5", "number 7", "shape 9.9"],
        ),
        ("zip://1_fake/a%20b.png::/d/x.zip", ["length 3", "shape a a"]),
        ("/c/é", ["length 1", "shape é"]),
    ],
)
def test_what_a_name_is_like(uri, tokens):
    assert name_tokens(uri) == tokens


def test_words_that_tell_are_worth_a_look_and_named(corpus, opened, monkeypatch):
    only(monkeypatch)
    made = one_generator(corpus)
    said = zip(made.captions["caption"], made.fake, strict=True)
    made.captions["caption"] = [f"{text} painting" if f else text for text, f in said]
    one = judged(opened(made))["caption words"]
    assert (one.verdict, one.details[0]["auroc"] > 0.99) == ("look", True)
    assert "fake: painting" in one.seen


def test_captions_may_be_missing_of_some_or_all(corpus, tmp_path, monkeypatch):
    only(monkeypatch)
    made = one_generator(corpus)
    made.captions["caption"][:100] = [None] * 100
    found = judged(connect(made.write(tmp_path / "some")))["caption words"]
    assert (found.verdict, found.details[0]["reals"]) == ("ok", 220)
    nodes = made.write(tmp_path / "none") | {"captions": ("captions", [])}
    found = judged(connect(nodes))["caption words"]
    assert (found.verdict, found.figure) == ("not judged", "no captions")
    both = made.write(tmp_path / "two")
    both |= {"short": both["captions"], "long": both.pop("captions")}
    found = judged(connect(both))["caption words"]
    assert (found.verdict, found.figure) == ("not judged", "several nodes make captions")


def test_a_large_corpus_is_sampled_by_its_hashes(corpus, opened, monkeypatch):
    monkeypatch.setattr("pipeline.audit.rows.SAMPLE", 50)
    monkeypatch.setattr("pipeline.audit.rows.OF_GENERATOR", 30)
    connection = opened(corpus())
    whole, *each = groups(connection)
    assert whole.counts == (50, 50)
    assert [group.counts for group in each] == [(30, 30), (30, 30)]
    real = "select image_id from listing where label = 0 order by image_id limit 50"
    ids = [image_id for (image_id,) in connection.sql(real).fetchall()]
    assert whole.only(whole.label == 0).rows["image_id"].to_pylist() == ids


def test_unlabelled_files_are_no_group(corpus, opened):
    made = corpus()
    made.listing["label"] = [None] * len(made.fake)
    (whole,) = groups(opened(made))
    assert whole.counts == (0, 0)
