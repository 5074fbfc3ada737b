import numpy as np
import pytest
import torch
from transformers import Owlv2ForObjectDetection, Owlv2Processor

from pipeline.models.detectors.base import Sought
from pipeline.models.detectors.spec import DetectorSpec
from tests.helpers.detectors import save_owlv2

PHRASES = ("red ball", "the cube", "a star", "a very long phrase that is cut")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_owlv2(tmp_path_factory.mktemp("owlv2"))


@pytest.fixture(scope="module")
def detector(folder):
    return DetectorSpec(family="owlv2", model=str(folder), device="cpu").load()


@pytest.fixture(scope="module")
def direct(folder):
    """The same model by transformers' own calls."""
    model = Owlv2ForObjectDetection.from_pretrained(folder).eval()
    return model, Owlv2Processor.from_pretrained(folder)


def locate(detector, *asked):
    batch = [Sought(detector.prepare(image), tuple(phrases)) for image, phrases in asked]
    return list(detector.locate(batch).each())


def by_hand(direct, image, phrases):
    """Boxes and scores of the best detection of each phrase, by the documented calls."""
    model, processor = direct
    boxes, scores = [], []
    for phrase in phrases:
        inputs = processor(text=[[phrase]], images=image, truncation=True, return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        size = torch.tensor([[image.height, image.width]])
        (found,) = processor.post_process_grounded_object_detection(
            outputs, threshold=0.0, target_sizes=size
        )
        best = int(found["scores"].argmax())
        corners = found["boxes"][best].numpy() / np.array([*image.size, *image.size])
        boxes.append(corners.clip(0, 1))
        scores.append(float(found["scores"][best]))
    return np.array(boxes), np.array(scores)


def test_boxes_and_scores_are_those_of_the_documented_calls(detector, direct, pictures):
    seen = []
    for image in pictures:  # wide and tall: the model's boxes count in the padded square
        ((boxes, scores),) = locate(detector, (image, PHRASES))
        expected, chances = by_hand(direct, image, PHRASES)
        np.testing.assert_allclose(boxes, expected, atol=1e-5)
        np.testing.assert_allclose(scores, chances, atol=1e-5)
        assert boxes.dtype == scores.dtype == np.float32
        seen += boxes.tolist()
    assert len({tuple(box) for box in seen}) > len(pictures)


def test_one_pass_with_all_phrases_gives_each_its_own_logits(detector, direct, pictures):
    model, processor = direct
    inputs = processor(text=[list(PHRASES[:3])], images=pictures[1], return_tensors="pt")
    with torch.no_grad():
        best = model(**inputs).logits[0].sigmoid().amax(0)
    ((_, scores),) = locate(detector, (pictures[1], PHRASES[:3]))
    np.testing.assert_allclose(scores, best, atol=1e-5)


def test_a_batch_gives_what_each_image_gives_alone(detector, pictures):
    asked = [
        (image, PHRASES[number % 3 : number % 3 + 1 + number % 2])
        for number, image in enumerate(pictures)
    ]
    for (boxes, scores), one in zip(locate(detector, *asked), asked, strict=True):
        ((alone, chances),) = locate(detector, one)
        assert len(boxes) == len(one[1])
        np.testing.assert_allclose(boxes, alone, atol=1e-5)
        np.testing.assert_allclose(scores, chances, atol=1e-5)


def test_the_image_tower_runs_once_however_many_phrases(detector, pictures, monkeypatch):
    runs = []
    tower = detector.model.image_embedder
    monkeypatch.setattr(
        detector.model, "image_embedder", lambda pixels: runs.append(len(pixels)) or tower(pixels)
    )
    many = [f"star {chr(97 + number)}" for number in range(26)]
    locate(detector, (pictures[0], many), (pictures[1], many[:2]))
    assert runs == [2]


def test_a_phrase_that_is_nowhere_has_the_best_of_low_scores(detector, pictures):
    shift = detector.model.class_head.logit_shift
    with torch.no_grad():
        shift.bias -= 50.0
    try:
        ((boxes, scores),) = locate(detector, (pictures[0], PHRASES[:2]))
    finally:
        with torch.no_grad():
            shift.bias += 50.0
    assert (scores < 0.1).all()
    assert np.isfinite(boxes).all()


def test_not_a_number_stays_one(detector, pictures, monkeypatch):
    predict = detector.model.class_predictor
    monkeypatch.setattr(
        detector.model, "class_predictor", lambda *given: (predict(*given)[0] * torch.nan, None)
    )
    ((_, scores),) = locate(detector, (pictures[0], PHRASES[:2]))
    assert np.isnan(scores).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near(folder, detector, pictures, precision):
    half = DetectorSpec(family="owlv2", model=str(folder), device="cpu", precision=precision)
    ((_, scores),) = locate(half.load(), (pictures[3], PHRASES))
    ((_, full),) = locate(detector, (pictures[3], PHRASES))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, full, atol=0.03)
