import open_clip
import pytest
import torch

from pipeline.models.clip.text_tower import TextTower

CPU = torch.device("cpu")
TEXTS = ["a red ball", "", "a blue cube on a gray background", "word " * 100]
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
}


def _model(kind=open_clip.CLIP, **text):
    torch.manual_seed(0)
    text = {"width": 32, "heads": 2, "layers": 2, **text}
    return kind(**TINY, text_cfg=text).eval()


def _spied(model, tokens, pad=0):
    """The tower's features, and how many positions went through its first block."""
    seen = []
    tower = getattr(model, "text", model)
    hook = tower.transformer.resblocks[0].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].shape[1])
    )
    with torch.inference_mode():
        features = TextTower(model)(tokens, pad, CPU)
    hook.remove()
    return features, seen


@pytest.mark.parametrize("kind", [open_clip.CLIP, open_clip.CustomTextCLIP])
@pytest.mark.parametrize("pool", ["argmax", "eos"])
def test_padding_is_left_out_and_nothing_changes(kind, pool):
    model = _model(kind, pool_type=pool, eos_id=49407)
    tokens = open_clip.tokenize(TEXTS[:3])
    features, seen = _spied(model, tokens)
    assert seen == [9]  # seven words, begin and end
    with torch.inference_mode():
        torch.testing.assert_close(features, model.encode_text(tokens), atol=1e-6, rtol=1e-5)


def test_a_text_that_fills_the_context_gets_all_of_it():
    model, tokens = _model(), open_clip.tokenize(TEXTS)
    features, seen = _spied(model, tokens)
    assert seen == [77]
    with torch.inference_mode():
        torch.testing.assert_close(features, model.encode_text(tokens), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "text", [{"pool_type": "last"}, {"no_causal_mask": True}, {"embed_cls": True}]
)
def test_towers_that_look_at_padding_get_it(text):
    kind = open_clip.CustomTextCLIP
    model, tokens = _model(kind, **text), open_clip.tokenize(TEXTS[:3])
    if "embed_cls" in text:
        tokens = tokens[:, :-1]
    features, seen = _spied(model, tokens)
    assert seen == [77]
    with torch.inference_mode():
        assert torch.equal(features, model.encode_text(tokens))


@pytest.mark.parametrize("pool", ["argmax", "eos"])
def test_the_pooled_position_stays_where_it_looks_like_padding(pool):
    """Padding by the end token, as CLIP's tokenizer of transformers does, which is the largest."""
    model = _model(vocab_size=12, context_length=8, pool_type=pool, eos_id=11)
    tokens = torch.tensor([[1, 5, 11, 11, 11, 11, 11, 11], [1, 5, 6, 2, 11, 11, 11, 11]])
    features, seen = _spied(model, tokens, pad=11)
    assert seen == [5]  # four tokens and the first end token of the longer row
    with torch.inference_mode():
        torch.testing.assert_close(features, model.encode_text(tokens), atol=1e-6, rtol=1e-5)
