import shutil

import numpy as np
import pytest
import torch
from transformers import BlipForConditionalGeneration, BlipProcessor, CLIPConfig

from pipeline import models
from pipeline.errors import UserError
from pipeline.models.captioner import CaptionerSpec

LIMIT = 12


@pytest.fixture(scope="module")
def captioner(captioner_folder):
    return models.get(CaptionerSpec(model=str(captioner_folder), device="cpu"))


@pytest.fixture(scope="module")
def direct(captioner_folder):
    """The same model by transformers' own calls."""
    model = BlipForConditionalGeneration.from_pretrained(captioner_folder).eval()
    return model, BlipProcessor.from_pretrained(captioner_folder)


def write(captioner, pictures, *options):
    return captioner.caption([captioner.prepare(picture) for picture in pictures], *options)


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_are_those_of_generate(captioner, direct, pictures, beams):
    model, processor = direct
    own = write(captioner, pictures, beams, LIMIT)
    assert len({caption.text for caption in own}) >= 3
    for picture, caption in zip(pictures, own, strict=True):
        inputs = processor(images=picture, return_tensors="pt")
        tokens = model.generate(**inputs, num_beams=beams, max_new_tokens=LIMIT)
        assert caption.text == processor.decode(tokens[0], skip_special_tokens=True).strip()


@pytest.mark.parametrize("beams", [1, 3])
def test_log_probabilities_are_those_of_the_decoder(captioner, direct, pictures, beams):
    """Against a plain forward pass over the finished caption, image by image."""
    model, processor = direct
    finished = 0
    for picture, caption in zip(pictures, write(captioner, pictures, beams, LIMIT), strict=True):
        pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
        tokens = model.generate(pixels, num_beams=beams, max_new_tokens=LIMIT)
        ends = (tokens[0] == model.config.text_config.sep_token_id).nonzero()
        finished += len(ends)
        tokens = tokens[:, : int(ends[0]) + 1] if len(ends) else tokens
        with torch.no_grad():
            image = model.vision_model(pixels).last_hidden_state
            logits = model.text_decoder(
                input_ids=tokens[:, :-1], encoder_hidden_states=image
            ).logits
        chosen = logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])
        assert caption.num_tokens == tokens.shape[1] - 1
        assert caption.mean_logprob == pytest.approx(float(chosen.mean()), abs=1e-4)
    assert 0 < finished < len(pictures)  # both ways to end were there


def test_the_batch_an_image_is_in_does_not_change_its_caption(captioner, pictures):
    together = write(captioner, pictures, 3, LIMIT)
    alone = [write(captioner, [picture], 3, LIMIT)[0] for picture in pictures]
    assert [c.text for c in together] == [c.text for c in alone]
    assert [c.num_tokens for c in together] == [c.num_tokens for c in alone]
    np.testing.assert_allclose(
        [c.mean_logprob for c in together], [c.mean_logprob for c in alone], atol=1e-4
    )


def test_half_precision_loads_and_writes(captioner_folder, pictures):
    half = CaptionerSpec(model=str(captioner_folder), precision="bf16", device="cpu").load()
    assert half.model.dtype == torch.bfloat16
    assert all(np.isfinite(c.mean_logprob) for c in write(half, pictures[:2], 3, 6))


def test_a_caption_longer_than_the_model_can_write_is_refused(captioner, pictures):
    with pytest.raises(UserError, match="max_new_tokens is 99") as failure:
        write(captioner, pictures, 3, 99)
    assert "at most 23" in failure.value.hint


def test_another_family_is_refused(tmp_path):
    CLIPConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="it is a 'clip' model, not a BLIP captioner"):
        CaptionerSpec(model=str(tmp_path), device="cpu").load()


def test_a_checkpoint_that_lacks_weights_is_refused(captioner_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "captioner"
    shutil.copytree(captioner_folder, folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("text_decoder")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="weights of a captioner are missing"):
        CaptionerSpec(model=str(folder), device="cpu").load()


def test_a_damaged_file_is_the_users_error(captioner_folder, tmp_path):
    folder = tmp_path / "captioner"
    shutil.copytree(captioner_folder, folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="could not be loaded") as failure:
        CaptionerSpec(model=str(folder), device="cpu").load()
    assert failure.value.where == str(folder)


def test_a_hub_name_out_of_reach_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = CaptionerSpec(model="nobody/no-such-captioner", device="cpu")
    assert spec.identity() == {"hub": "nobody/no-such-captioner", "revision": None}
    with pytest.raises(UserError, match="could not be loaded") as failure:
        spec.load()
    assert str(tmp_path) in failure.value.where
    assert "HF_HUB_OFFLINE=1" in failure.value.hint
