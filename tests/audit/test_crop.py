import numpy as np
import pyarrow as pa
import pytest

from pipeline.audit.crop import crop, unseen
from pipeline.audit.rows import Group
from pipeline.models.clip.view import View

SHORTEST, LONGEST, SQUASH = (View(mode, 224, 224) for mode in ("shortest", "longest", "squash"))


def group(sizes, label, orientation=1):
    width, height = zip(*sizes, strict=True)
    rows = pa.table({"width": width, "height": height, "orientation": [orientation] * len(width)})
    return Group("all generators", rows, np.array(label))


def test_what_is_not_seen_of_an_image():
    sizes = [(200, 200), (400, 200), (100, 400)]
    rows = group(sizes, [0, 0, 0]).rows
    assert unseen(rows, SHORTEST).tolist() == pytest.approx([0, 0.5, 0.75])
    assert unseen(rows, SQUASH).tolist() == [0, 0, 0]
    assert unseen(rows, LONGEST).tolist() == pytest.approx([0, -1, -3])  # of twice, four times
    wide = View("shortest", 100, 200)
    assert unseen(rows, wide).tolist() == pytest.approx([0.5, 0, 0.875])
    turned = group(sizes, [0, 0, 0], orientation=6).rows
    assert unseen(turned, wide).tolist() == pytest.approx([0.5, 0.75, 0.5])


def judged(real, fake, views):
    sizes = [real] * 30 + [fake] * 30 if isinstance(real, tuple) else [*real, *fake]
    return crop([group(sizes, [0] * 30 + [1] * 30)], views)


def test_a_crop_that_cuts_one_label_only_is_a_leak():
    found = judged((400, 200), (256, 256), {"image_embeddings": SHORTEST})
    assert found.verdict == "leak"
    assert found.figure == "mean area cut 25 %; tells the label with AUROC 1.000"
    assert found.seen.startswith("over 25 % of the area cut: real 100 %, fake 0 %; smaller than")
    assert found.seen.endswith("smaller than 224x224: real 100 %, fake 0 %")
    (row,) = found.details
    assert (row["node"], row["mean_cut"], row["real_cut"]) == ("image_embeddings", 0.25, 1.0)


def test_a_crop_that_cuts_much_of_all_is_worth_a_look():
    found = judged((400, 200), (600, 300), {"a": SHORTEST})
    assert (found.verdict, found.figure) == ("look", "mean area cut 50 %")


def test_a_crop_that_cuts_little_of_all_is_ok():
    found = judged((256, 256), (230, 256), {"a": SHORTEST})
    assert found.verdict == "leak"  # however little, it tells
    found = judged((250, 256), (250, 256), {"a": SHORTEST})
    assert (found.verdict, found.figure) == ("ok", "mean area cut 2.3 %")


def test_padding_that_tells_is_a_leak():
    found = judged((400, 200), (256, 256), {"a": LONGEST})
    assert (found.verdict, found.details[0]["real_padded"]) == ("leak", 1.0)
    assert found.figure == "nothing is cut; tells the label with AUROC 1.000"
    assert found.seen.startswith("padded: real 100 %, fake 0 %")


def test_a_transform_that_squashes_cuts_nothing():
    found = judged((400, 200), (256, 256), {"a": SQUASH})
    assert (found.verdict, found.figure[:8]) == ("ok", "nothing:")


def test_the_worst_of_several_clips_is_named_and_all_are_told():
    found = judged((400, 200), (256, 256), {"a": SQUASH, "b": SHORTEST})
    assert found.verdict == "leak"
    assert [row["node"] for row in found.details] == ["a", "b"]


@pytest.mark.parametrize("views", [{}, {"a": None}])
def test_without_a_clip_a_crop_of_the_middle_is_assumed(views):
    found = judged((400, 200), (256, 256), views)
    assert found.verdict == "leak"
    assert "no configuration of a CLIP" in found.seen


def test_few_images_have_no_auroc():
    found = crop([group([(200, 200), (210, 200)], [0, 1])], {"a": SHORTEST})
    assert (found.verdict, found.details[0]["auroc"]) == ("ok", None)


def test_no_image_is_not_judged():
    rows = pa.table({"width": [], "height": [], "orientation": []})
    assert crop([Group("all generators", rows, np.array([]))], {}).verdict == "not judged"
