"""The trainings' own forward passes equal the libraries', and views equal their masks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.demo.pool import NUM_PAIRS, PAIRS, Pool, load_pool
from pipeline.demo.scenes import sample_scene
from pipeline.demo.tokenizer import build_tokenizer
from pipeline.demo.train_captioner import blip_vision_state, build_captioner
from pipeline.demo.train_clip import build_clip, encode_texts, near_miss
from pipeline.demo.trunk import WIDTH, build_trunk, encode, encode_mixed
from pipeline.demo.views import GRID, sample_batch

SEEDS = range(5_000_000, 5_000_006)
IMAGES = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return load_pool(tmp_path_factory.mktemp("work"), SEEDS)


def test_trunk_equals_open_clip() -> None:
    torch.manual_seed(0)
    visual = build_trunk().eval()
    with torch.no_grad():
        mixed, alone = encode(visual, IMAGES)
        pooled, tokens = visual(IMAGES)
        x = visual._embeds(IMAGES)
        for block in visual.transformer.resblocks[:-1]:
            x = block(x)
        mask = torch.full((GRID**2 + 1, GRID**2 + 1), -torch.inf).fill_diagonal_(0)
        masked = visual.ln_post(visual.transformer.resblocks[-1](x, attn_mask=mask))
    torch.testing.assert_close(mixed[:, 0] @ visual.proj, pooled, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mixed[:, 1:], tokens, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(alone, masked, atol=1e-4, rtol=1e-4)


def test_blip_sees_what_the_trunk_sees() -> None:
    torch.manual_seed(0)
    visual, model = build_trunk().eval(), build_captioner(len(build_tokenizer())).eval()
    model.vision_model.load_state_dict(blip_vision_state(visual))
    with torch.no_grad():
        seen = model.vision_model(IMAGES).last_hidden_state
        expected = encode_mixed(visual, IMAGES)
    assert expected.shape == (2, GRID**2 + 1, WIDTH)
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=1e-4)


def test_texts_equal_open_clip_with_padding() -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    model = build_clip(len(tokenizer)).eval()
    texts = ["red ball", "a blue cube and a zebra on a striped gray background"]
    padded = tokenizer(texts, padding="max_length", max_length=32, return_tensors="pt").input_ids
    with torch.no_grad():
        ours, theirs = encode_texts(model.text, padded), model.encode_text(padded, normalize=True)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_pool_is_the_truth_of_its_seeds(pool: Pool, tmp_path: Path) -> None:
    for row, seed in enumerate(SEEDS):
        scene = sample_scene(seed)
        pairs = [PAIRS[p] for p in pool.pairs[row] if p >= 0]
        assert pairs == [(o.colour, o.shape) for o in scene.objects]
        assert pool.prompts[row] == scene.prompt
    again = load_pool(tmp_path, SEEDS)
    np.testing.assert_array_equal(pool.images, again.images)


def test_views_know_what_their_patches_show(pool: Pool) -> None:
    batch = sample_batch(pool, np.random.default_rng(0), 12, 4)
    assert batch.images.shape == (12, 3, 64, 64)
    torch.testing.assert_close(batch.patches.sum(-1), torch.ones(12, GRID**2))
    assert (batch.target[:8] == -1).all() and (batch.target[8:] >= 0).all()
    for row, present in zip(batch.rows[:8], batch.present[:8], strict=True):
        expected = [p for p in pool.pairs[row] if p >= 0]
        assert present.nonzero()[:, 0].tolist() == expected
    area = batch.patches[8:, :, :NUM_PAIRS].sum(1)
    assert area.argmax(1).tolist() == batch.target[8:].tolist()


def test_near_misses_differ_in_one_word(pool: Pool) -> None:
    rng = np.random.default_rng(0)
    for row in list(range(len(pool))) * 5:
        true, wrong = str(pool.prompts[row]), near_miss(pool, row, rng)
        assert wrong != true
        before, after = (set(t.replace(",", "").split()) for t in (true, wrong))
        assert len(before - after) <= 1 and len(after - before) <= 1
