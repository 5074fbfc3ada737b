"""The shipped CLIP and captioner load through their libraries' own loaders and know the scenes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.demo.measure import (
    Clip,
    Example,
    caption_scores,
    centre_rate,
    greedy_captions,
    held_out,
    recall_at_1,
)
from pipeline.demo.scenes import sample_scene

MODELS = Path(__file__).resolve().parents[2] / "data" / "demo" / "models"


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return held_out(40, distinct=True)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip(MODELS / "clip")


def test_held_out_scenes_are_their_seeds(examples: list[Example]) -> None:
    assert examples[0].scene == sample_scene(2_000_000)
    assert len({e.scene.prompt for e in examples}) == 40
    assert {e.image.size for e in examples} <= {(s, s) for s in (64, 80, 96, 112)}


def test_captions_name_the_objects(examples: list[Example]) -> None:
    scores = caption_scores(MODELS / "captioner", examples)
    assert scores.f1 >= 0.9
    assert scores.background >= 0.9


def test_a_caption_is_plain_english(examples: list[Example]) -> None:
    (caption,) = greedy_captions(MODELS / "captioner", [examples[0].image])
    assert caption.startswith("a ")
    assert caption.endswith("background")
    assert " ," not in caption and "[" not in caption


def test_clip_finds_captions_and_places(clip: Clip, examples: list[Example]) -> None:
    assert recall_at_1(clip, examples)[0] >= 0.9
    assert centre_rate(clip, examples) >= 0.8


def test_clip_embeddings_are_unit_float32(clip: Clip, examples: list[Example]) -> None:
    images = clip.images([examples[0].image])
    texts = clip.texts(["a red ball", "a photograph of two zebras, at dusk!"])
    assert images.shape == (1, 128) and texts.shape == (2, 128)
    assert images.dtype == texts.dtype == torch.float32
    np.testing.assert_allclose(texts.norm(dim=-1), 1, atol=1e-5)
    assert clip.patches([examples[0].image]).shape == (1, 8, 8, 128)


def test_unknown_words_stay_apart(clip: Clip) -> None:
    ids = clip.tokenizer(["a zebra", "a zebu"])
    assert clip.tokenizer.tokenizer.unk_token_id not in ids
    assert not torch.equal(ids[0], ids[1])


@pytest.mark.parametrize("name", ["clip", "captioner"])
def test_models_are_small(name: str) -> None:
    files = [f for f in (MODELS / name).rglob("*") if f.is_file()]
    assert 0 < sum(f.stat().st_size for f in files) <= 9_000_000
