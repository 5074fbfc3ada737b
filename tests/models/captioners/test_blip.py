import numpy as np
import pytest
import torch
from transformers import BlipForConditionalGeneration, BlipProcessor, DynamicCache

from pipeline import models
from pipeline.errors import UserError
from pipeline.models.captioners.blip import _Pixels
from pipeline.models.captioners.captioner import CaptionerSpec
from pipeline.models.captioners.generation import Generation

LIMIT = 12


@pytest.fixture(scope="module")
def captioner(captioner_folder):
    return models.get(CaptionerSpec(model=str(captioner_folder), device="cpu"))


@pytest.fixture(scope="module")
def direct(captioner_folder):
    """The same model by transformers' own calls."""
    model = BlipForConditionalGeneration.from_pretrained(captioner_folder).eval()
    return model, BlipProcessor.from_pretrained(captioner_folder)


def write(captioner, pictures, beams=3, limit=LIMIT, seeds=None, **options):
    generation = Generation(num_beams=beams, max_new_tokens=limit, **options)
    return captioner.caption([captioner.prepare(one) for one in pictures], generation, seeds)


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_are_those_of_generate(captioner, direct, pictures, beams):
    model, processor = direct
    own = write(captioner, pictures, beams, LIMIT)
    assert len({caption.text for caption in own}) >= 3
    for picture, caption in zip(pictures, own, strict=True):
        inputs = processor(images=picture, return_tensors="pt")
        tokens = model.generate(**inputs, num_beams=beams, max_new_tokens=LIMIT)
        assert caption.text == processor.decode(tokens[0], skip_special_tokens=True).strip()


def test_beams_that_change_places_leave_the_image_where_it_is(captioner, pictures, monkeypatch):
    """What they look at is the same for all of them: a step copies the text's part of the cache."""
    moved, own = [], DynamicCache.reorder_cache

    def reorder(cache, beams):
        moved.append(cache.get_seq_length())
        own(cache, beams)

    monkeypatch.setattr(DynamicCache, "reorder_cache", reorder)
    write(captioner, pictures, 3, LIMIT)
    assert moved == list(range(1, len(moved) + 1)) and len(moved) >= 3


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


def test_the_prepared_image_becomes_what_the_processor_gives(captioner, direct, pictures):
    """Bit for bit, whatever the size; bytes wait for the batch, not floats."""
    _, processor = direct
    prepared = [captioner.prepare(picture) for picture in pictures]
    assert {(one.dtype, tuple(one.shape)) for one in prepared} == {(np.dtype("uint8"), (32, 32, 3))}
    batch = captioner._pixels.batch(prepared, torch.device("cpu"))
    assert torch.equal(batch, processor(images=pictures, return_tensors="pt")["pixel_values"])


def test_a_processor_of_another_make_is_applied_whole(direct, pictures):
    _, processor = direct
    cropping = BlipProcessor(
        type(processor.image_processor)(
            size={"height": 40, "width": 40},
            crop_size={"height": 32, "width": 32},
            do_center_crop=True,
        ),
        processor.tokenizer,
    )
    pixels = _Pixels(cropping.image_processor)
    prepared = [pixels.prepare(picture) for picture in pictures]
    expected = cropping(images=pictures, return_tensors="pt")["pixel_values"]
    assert expected.shape[2:] == (32, 32)
    assert torch.equal(pixels.batch(prepared, torch.device("cpu")), expected)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_prompt_is_the_beginning_of_the_caption(captioner, direct, pictures, beams):
    model, processor = direct
    own = write(captioner, pictures, beams, prompt="a red ball")
    plain = write(captioner, pictures, beams)
    for picture, caption in zip(pictures, own, strict=True):
        inputs = processor(images=picture, text="a red ball", return_tensors="pt")
        tokens = model.generate(**inputs, num_beams=beams, max_new_tokens=LIMIT)
        assert caption.text == processor.decode(tokens[0], skip_special_tokens=True).strip()
        assert caption.text.startswith("a red ball")
        assert caption.num_tokens <= LIMIT
    assert [c.text for c in own] != [c.text for c in plain]


def test_stated_options_are_those_of_generate(captioner, direct, pictures):
    model, processor = direct
    options = {"length_penalty": 2.0, "no_repeat_ngram_size": 2, "repetition_penalty": 1.4}
    own = write(captioner, pictures, 3, **options)
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    tokens = model.generate(pixels, num_beams=3, max_new_tokens=LIMIT, **options)
    texts = [text.strip() for text in processor.batch_decode(tokens, skip_special_tokens=True)]
    assert [caption.text for caption in own] == texts
    assert texts != [caption.text for caption in write(captioner, pictures, 3)]


def test_log_probabilities_are_the_models_own_whatever_the_search(captioner, direct, pictures):
    """A penalty changes what is chosen, not how probable the model says that it is."""
    model, processor = direct
    picture = pictures[0]
    caption = write(captioner, [picture], 3, repetition_penalty=1.5, no_repeat_ngram_size=2)[0]
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    tokens = model.generate(
        pixels, num_beams=3, max_new_tokens=LIMIT, repetition_penalty=1.5, no_repeat_ngram_size=2
    )
    with torch.no_grad():
        image = model.vision_model(pixels).last_hidden_state
        logits = model.text_decoder(input_ids=tokens[:, :-1], encoder_hidden_states=image).logits
    chosen = logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])
    assert caption.mean_logprob == pytest.approx(float(chosen.mean()), abs=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_sampling_is_generate_under_the_images_own_seed(captioner, direct, pictures, beams):
    model, processor = direct
    options = {"do_sample": True, "temperature": 1.5, "top_k": 8, "top_p": 0.95}
    seeds = list(range(40, 40 + len(pictures)))
    before = torch.get_rng_state()
    own = write(captioner, pictures, beams, seeds=seeds, **options)
    assert torch.equal(torch.get_rng_state(), before)
    for picture, seed, caption in zip(pictures, seeds, own, strict=True):
        pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
        torch.manual_seed(seed)
        tokens = model.generate(pixels, num_beams=beams, max_new_tokens=LIMIT, **options)
        assert caption.text == processor.decode(tokens[0], skip_special_tokens=True).strip()
    order = [4, 0, 6, 2, 1, 5, 3]
    again = write(
        captioner, [pictures[i] for i in order], beams, seeds=[seeds[i] for i in order], **options
    )
    assert again == [own[i] for i in order]
    assert own != write(captioner, pictures, beams, seeds=[seed + 99 for seed in seeds], **options)


@pytest.mark.parametrize("options", [{}, {"beams": 1}, {"do_sample": True, "seeds": [1, 2]}])
def test_output_that_is_not_finite_is_marked(captioner_folder, pictures, options):
    broken = CaptionerSpec(model=str(captioner_folder), device="cpu").load()
    with torch.no_grad():
        broken.model.text_decoder.cls.predictions.decoder.weight.fill_(float("nan"))
    captions = write(broken, pictures[:2], **options)
    assert [np.isfinite(caption.mean_logprob) for caption in captions] == [False, False]


def test_half_precision_loads_and_writes(captioner_folder, pictures):
    half = CaptionerSpec(model=str(captioner_folder), precision="bf16", device="cpu").load()
    assert half.model.dtype == torch.bfloat16
    assert (half.precision_used, half.device_used) == ("bf16", "cpu")
    assert all(np.isfinite(c.mean_logprob) for c in write(half, pictures[:2], 3, 6))


def test_a_caption_longer_than_the_model_can_write_is_refused(captioner, pictures):
    with pytest.raises(UserError, match="max_new_tokens is 99") as failure:
        write(captioner, pictures, 3, 99)
    assert "at most 23" in failure.value.hint
    with pytest.raises(UserError, match="ends at 20 after its prompt"):
        write(captioner, pictures, 3, 21, prompt="a red ball")
