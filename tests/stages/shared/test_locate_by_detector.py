import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import models, tables
from pipeline.models.detectors.base import Located, Sought
from pipeline.models.transfer import Home
from pipeline.stages.ground import STAGE, GroundParameters, run
from tests.helpers.detectors import save_grounding_dino, save_owlv2

BOX = ("x0", "y0", "x1", "y1")
NAMES = ("image_id", "object_no", "phrase", "error")


class ColourDetector:
    """The box around a colour, its score the colour's share; not a number for `nothing`."""

    auto = 2
    device = torch.device("cpu")

    def __init__(self):
        self.batches: list[list[Sought]] = []

    def prepare(self, image):
        return image

    def text(self, phrase):
        return phrase.lower()

    def locate(self, batch):
        self.batches.append(batch)
        counts = tuple(len(one.phrases) for one in batch)
        boxes, scores = (
            torch.zeros(len(batch), max(counts), 4),
            torch.zeros(len(batch), max(counts)),
        )
        for place, one in enumerate(batch):
            for number, phrase in enumerate(one.phrases):
                channel = ("red", "green", "blue", "nothing").index(phrase.split()[-1])
                if channel == 3:
                    scores[place, number] = float("nan")
                    continue
                seen = Image.fromarray(np.asarray(one.image)[..., channel])
                edges = seen.getbbox() or (0, 0, 0, 0)
                boxes[place, number] = torch.tensor(edges) / torch.tensor([*one.image.size] * 2)
                scores[place, number] = float(np.asarray(seen).mean() / 255)
        return Located(Home(boxes, scores), counts)


@pytest.fixture
def detector():
    return ColourDetector()


def _objects(*rows):
    return tables.build("objects", dict(zip(NAMES, zip(*rows, strict=True), strict=True)))


def _boxes(table):
    return [tuple(row[name] for name in BOX) for row in table.to_pylist()]


def _picture(size=(16, 16), red=(0, 0, 4, 4), blue=(8, 8, 16, 16)):
    image = Image.new("RGB", size)
    image.paste((255, 0, 0), red)
    image.paste((0, 0, 255), blue)
    return image


@pytest.mark.parametrize("batch_size", [1, 2, "auto"])
def test_each_phrase_is_looked_up_once_in_each_image(images, detector, batch_size):
    listed = images(wide=_picture((32, 16)), a=_picture(), broken=b"no image", b=_picture())
    objects = _objects(
        ("a", 0, "red", None),
        ("wide", 0, "blue", None),
        ("a", 1, "blue", None),
        ("a", 2, "Red", None),
        ("broken", 0, "red", None),
        ("b", 0, "nothing", None),
        ("b", 1, "green", None),
        ("bare", None, None, None),
        ("lost", None, None, "no caption: too dark"),
    )
    parameters = GroundParameters(method="owlv2", model="some/detector", batch_size=batch_size)
    table = run({"images": listed, "objects": objects}, parameters, (detector,))
    tables.check("regions", table)
    assert table["image_id"].to_pylist() == objects["image_id"].to_pylist()
    assert _boxes(table)[:4] == [
        (0, 0, 0.25, 0.25),
        (0.25, 0.5, 0.5, 1),
        (0.5, 0.5, 1, 1),
        (0, 0, 0.25, 0.25),
    ]
    assert _boxes(table)[6] == (0, 0, 0, 0)  # nowhere: a row all the same, as the model gave it
    assert table["score"].to_pylist()[6] == 0.0
    errors = table["error"].to_pylist()
    assert errors[4]
    assert errors[5] == "the region's score is not finite"
    assert errors[8] == "no caption: too dark"
    assert [error is None for error in errors] == [True] * 4 + [False] * 2 + [True] * 2 + [False]
    asked = [one.phrases for batch in detector.batches for one in batch]
    assert sorted(asked) == [("blue",), ("nothing", "green"), ("red", "blue")]
    assert max(map(len, detector.batches)) == (1 if batch_size == 1 else 2)


def test_the_template_is_around_each_phrase(images, detector):
    parameters = GroundParameters(
        method="owlv2", model="some/detector", phrase_template="a photo of {}"
    )
    objects = _objects(("a", 0, "a photo of red", None))
    run({"images": images(a=_picture()), "objects": objects}, parameters, (detector,))
    assert detector.batches[0][0].phrases == ("a photo of a photo of red",)


def test_images_of_one_shape_follow_each_other(images, detector):
    sizes = {"a": (16, 16), "b": (32, 16), "c": (24, 24), "d": (32, 16)}
    listed = images(**{name: _picture(size) for name, size in sizes.items()})
    objects = _objects(*((name, 0, "red", None) for name in sizes))
    parameters = GroundParameters(method="owlv2", model="some/detector")
    table = run({"images": listed, "objects": objects}, parameters, (detector,))
    seen = [[one.image.size for one in batch] for batch in detector.batches]
    assert seen == [[(16, 16), (24, 24)], [(32, 16), (32, 16)]]
    assert [box[2] for box in _boxes(table)] == pytest.approx([4 / 16, 4 / 32, 4 / 24, 4 / 32])


@pytest.mark.parametrize(
    ("method", "save"), [("owlv2", save_owlv2), ("grounding-dino", save_grounding_dino)]
)
def test_the_real_detectors_give_the_same_rows_in_any_batch(images, tmp_path, method, save):
    folder = save(tmp_path / method)
    rng = np.random.default_rng(1)
    sizes = [(16, 16), (32, 20), (20, 32), (16, 16), (40, 40)]
    listed = images(
        **{
            f"i{n}": Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8))
            for n, (w, h) in enumerate(sizes)
        }
    )
    phrases = ["red ball", "the star", "red ball"]
    objects = _objects(*((f"i{n}", k, phrases[k], None) for n in range(5) for k in range(3)))
    tables_of = []
    for batch_size in (1, 3, "auto"):
        parameters = GroundParameters(
            method=method, model=str(folder), device="cpu", batch_size=batch_size
        )
        loaded = [models.get(spec) for spec in STAGE.models(parameters)]
        table = run({"images": listed, "objects": objects}, parameters, loaded)
        tables.check("regions", table)
        assert table["error"].null_count == len(table)
        tables_of.append(np.array([[row[c] for c in (*BOX, "score")] for row in table.to_pylist()]))
    first = tables_of[0]
    assert first.min() >= 0
    assert first.max() <= 1
    assert (first[0::3] == first[2::3]).all()  # the phrase that each image names twice
    for other in tables_of[1:]:
        np.testing.assert_allclose(other, first, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "save"), [("owlv2", save_owlv2), ("grounding-dino", save_grounding_dino)]
)
def test_what_a_detector_refuses_is_said_of_the_image_and_costs_no_other(
    images, tmp_path, method, save
):
    folder = save(tmp_path / method)
    long = Image.new("RGB", (9000, 100), (200, 0, 0))
    listed = images(line=Image.new("RGB", (60_000, 1)), long=long, good=_picture((40, 30)))
    objects = _objects(*((name, 0, "red ball", None) for name in ("line", "long", "good")))
    parameters = GroundParameters(method=method, model=str(folder), device="cpu")
    loaded = [models.get(spec) for spec in STAGE.models(parameters)]
    table = run({"images": listed, "objects": objects}, parameters, loaded)
    tables.check("regions", table)
    line, long, good = table["error"].to_pylist()
    assert good is None and "60000x1" in line and len(line.split()) > 5
    if method == "owlv2":  # which pads it to 9,000 x 9,000 pixels
        assert "9000x100" in long and "no side over 8,192" in long
    else:
        assert long is None
