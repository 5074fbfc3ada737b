import numpy as np
import pytest
import torch
from transformers import GroundingDinoForObjectDetection, GroundingDinoProcessor

from pipeline.models.detectors.base import Sought
from pipeline.models.detectors.spec import DetectorSpec
from tests.helpers.detectors import save_grounding_dino

PHRASES = ("Red ball", "the blue cubes", "a star")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_grounding_dino(tmp_path_factory.mktemp("grounding_dino"))


@pytest.fixture(scope="module")
def detector(folder):
    return DetectorSpec(family="grounding-dino", model=str(folder), device="cpu").load()


@pytest.fixture(scope="module")
def direct(folder):
    """The same model by transformers' own calls."""
    model = GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    return model, GroundingDinoProcessor.from_pretrained(folder)


def locate(detector, *asked):
    batch = [Sought(detector.prepare(image), tuple(phrases)) for image, phrases in asked]
    return list(detector.locate(batch).each())


def by_hand(direct, image, phrases):
    """Boxes and scores of each phrase's best detection: spans are looked up in the prompt's text"""
    model, processor = direct
    inputs = processor(text=[list(phrases)], images=image, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    (found,) = processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], threshold=-1.0, target_sizes=[(image.height, image.width)]
    )
    corners = found["boxes"].numpy() / np.array([*image.size, *image.size])
    prompt = ". ".join(phrase.lower() for phrase in phrases) + "."
    offsets = processor.tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    chances = outputs.logits[0].sigmoid().numpy()
    boxes, scores, start = [], [], 0
    for phrase in phrases:
        start = prompt.index(phrase.lower(), start)
        end = start + len(phrase)
        tokens = [t for t, (a, b) in enumerate(offsets) if start <= a < b <= end]
        mean = chances[:, tokens].mean(1)
        boxes.append(corners[mean.argmax()].clip(0, 1))
        scores.append(mean.max())
    return np.array(boxes), np.array(scores)


def test_boxes_and_scores_are_those_of_the_documented_calls(detector, direct, pictures):
    seen = []
    for image in pictures:
        ((boxes, scores),) = locate(detector, (image, PHRASES))
        expected, chances = by_hand(direct, image, PHRASES)
        np.testing.assert_allclose(boxes, expected, atol=1e-5)
        np.testing.assert_allclose(scores, chances, atol=1e-5)
        assert boxes.dtype == scores.dtype == np.float32
        seen += scores.tolist()
    assert len(set(seen)) == len(seen)  # of 21 boxes and phrases, no two alike


def test_the_prompt_is_the_processors(detector, direct):
    (prompt,) = detector.prompts(PHRASES)
    _, processor = direct
    text = processor._preprocess_input_text(list(PHRASES))
    assert prompt.tokens == processor.tokenizer(text)["input_ids"]
    assert prompt.numbers == [0, 1, 2]
    words = [processor.tokenizer.decode(prompt.tokens[a:b]) for a, b in prompt.spans]
    assert words == ["red ball", "the blue cubes", "a star"]


def test_a_batch_gives_what_each_image_gives_alone(detector, pictures):
    asked = [
        (image, PHRASES[number % 3 : number % 3 + 1 + number % 2])
        for number, image in enumerate([*pictures, pictures[0], pictures[1].transpose(0)])
    ]
    for (boxes, scores), one in zip(locate(detector, *asked), asked, strict=True):
        ((alone, chances),) = locate(detector, one)
        assert len(boxes) == len(one[1])
        np.testing.assert_allclose(boxes, alone, atol=1e-5)
        np.testing.assert_allclose(scores, chances, atol=1e-5)


def test_images_of_one_size_share_a_pass_with_all_their_phrases(detector, pictures, monkeypatch):
    passes = []
    forward = detector.model.forward
    monkeypatch.setattr(
        detector.model, "forward", lambda **given: passes.append(given) or forward(**given)
    )
    small = pictures[0].resize((20, 20))  # square like the first: 64 x 64 after the transform
    locate(detector, (pictures[0], PHRASES), (pictures[1], PHRASES), (small, PHRASES[:1]))
    assert [tuple(one["pixel_values"].shape) for one in passes] == [(2, 3, 64, 64), (1, 3, 64, 85)]


def test_phrases_beyond_the_text_limit_go_into_further_passes(detector, direct, pictures):
    # begin, end, and five tokens for each of these: six fit into 32, the seventh does not
    words = ("red", "blue", "grey", "ball", "cube", "star", "smith", "mr")
    phrases = [f"the {word} on a" for word in words]
    first, second = detector.prompts(phrases)
    assert (first.numbers, second.numbers) == ([0, 1, 2, 3, 4, 5], [6, 7])
    assert len(first.tokens) == 32
    ((boxes, scores), (few, chance)) = locate(
        detector, (pictures[1], phrases), (pictures[1], phrases[:1])
    )
    for part in (slice(0, 6), slice(6, 8)):
        expected, chances = by_hand(direct, pictures[1], phrases[part])
        np.testing.assert_allclose(boxes[part], expected, atol=1e-5)
        np.testing.assert_allclose(scores[part], chances, atol=1e-5)
    expected, chances = by_hand(direct, pictures[1], phrases[:1])
    np.testing.assert_allclose(few, expected, atol=1e-5)
    np.testing.assert_allclose(chance, chances, atol=1e-5)


def test_a_stop_within_a_phrase_does_not_end_it(detector, pictures):
    (prompt,) = detector.prompts(["Mr. Smith?", "a star"])
    decoded = [detector.processor.tokenizer.decode(prompt.tokens[a:b]) for a, b in prompt.spans]
    assert decoded == ["mr smith", "a star"]
    ((boxes, scores),) = locate(detector, (pictures[0], ["Mr. Smith?"]))
    ((plain, chances),) = locate(detector, (pictures[0], ["mr smith"]))
    assert boxes.tolist() == plain.tolist()
    assert scores.tolist() == chances.tolist()


def test_a_phrase_of_stops_alone_has_no_score_and_harms_no_other(detector, pictures):
    ((_, scores),) = locate(detector, (pictures[0], ["...", "a star"]))
    assert np.isfinite(scores).tolist() == [False, True]
    ((_, scores),) = locate(detector, (pictures[0], ["...", "?"]))
    assert np.isnan(scores).all()


def test_an_image_that_is_not_finite_does_not_spoil_its_batch(detector, pictures, monkeypatch):
    bad = pictures[0].transpose(0)
    forward = detector.model.forward
    mark = detector.processor.image_processor(bad, return_tensors="pt")["pixel_values"][0]

    def spoiled(**given):
        output = forward(**given)
        if any(torch.equal(image, mark) for image in given["pixel_values"]):
            output.logits = output.logits * torch.nan
        return output

    asked = [(pictures[0], PHRASES), (bad, PHRASES[:2]), (pictures[0], ["...", "a star"])]
    fine = [locate(detector, one)[0] for one in asked]
    monkeypatch.setattr(detector.model, "forward", spoiled)
    found = locate(detector, *asked)
    assert np.isnan(found[1][1]).all()
    for (boxes, scores), (alone, chances) in ((found[0], fine[0]), (found[2], fine[2])):
        np.testing.assert_allclose(boxes, alone, atol=1e-5)
        np.testing.assert_allclose(scores, chances, atol=1e-5)


def test_a_phrase_longer_than_the_limit_is_cut(detector, pictures):
    endless = "red blue " * 40
    (prompt, after) = detector.prompts([endless, "a star"])
    assert len(prompt.tokens) == 32
    assert prompt.spans == [(1, 30)]
    assert after.numbers == [1]
    ((boxes, scores),) = locate(detector, (pictures[0], [endless]))
    assert np.isfinite(boxes).all()
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near(folder, detector, pictures, precision):
    half = DetectorSpec(
        family="grounding-dino", model=str(folder), device="cpu", precision=precision
    )
    ((_, scores),) = locate(half.load(), (pictures[3], PHRASES))
    ((_, full),) = locate(detector, (pictures[3], PHRASES))
    np.testing.assert_allclose(scores, full, atol=0.05)
