import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from pipeline.errors import UserError
from pipeline.models.captioners.captioner import CaptionerSpec
from pipeline.models.captioners.generation import Generation
from tests.helpers.tiny_captioners import PROMPTS, build

LIMIT = 9


@pytest.fixture(scope="module", params=PROMPTS)
def family(request, tmp_path_factory):
    """(name, folder, the adapter, transformers' own model and processor)."""
    folder = build(request.param, tmp_path_factory.mktemp(request.param))
    captioner = CaptionerSpec(model=str(folder), device="cpu").load()
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    return request.param, captioner, model, AutoProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = build("qwen2_5_vl", tmp_path_factory.mktemp("qwen"))
    return CaptionerSpec(model=str(folder), device="cpu").load()


@pytest.fixture(scope="module")
def shapes(pictures):
    """Of different proportions: in one batch some prompts get more image tokens than others."""
    return [*pictures[:4], pictures[0].resize((150, 50))]


def generate(model, processor, picture, prompt, **options):
    """One image by transformers' own calls: (inputs, new tokens)."""
    if processor.chat_template:
        content = [{"type": "image", "image": picture}, {"type": "text", "text": prompt}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    else:
        inputs = processor(images=picture, text=prompt, return_tensors="pt")
    tokens = model.generate(**inputs, max_new_tokens=LIMIT, **options)[0]
    begins = model.config.get_text_config().is_encoder_decoder or model.config.is_encoder_decoder
    return inputs, tokens[1:] if begins else tokens[inputs["input_ids"].shape[1] :]


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_are_those_of_processor_and_generate(family, shapes, beams):
    name, captioner, model, processor = family
    own = captioner.caption(
        shapes, Generation(prompt=PROMPTS[name], num_beams=beams, max_new_tokens=LIMIT)
    )
    assert len({caption.text for caption in own}) >= 2
    for picture, caption in zip(shapes, own, strict=True):
        _, tokens = generate(model, processor, picture, PROMPTS[name], num_beams=beams)
        assert caption.text == processor.decode(tokens, skip_special_tokens=True).strip()


def test_the_batch_an_image_is_in_does_not_change_its_caption(family, shapes):
    name, captioner, *_ = family
    generation = Generation(prompt=PROMPTS[name], num_beams=3, max_new_tokens=LIMIT)
    together = captioner.caption(shapes, generation)
    alone = [captioner.caption([picture], generation)[0] for picture in shapes]
    assert [(c.text, c.num_tokens) for c in together] == [(c.text, c.num_tokens) for c in alone]
    np.testing.assert_allclose(
        [c.mean_logprob for c in together], [c.mean_logprob for c in alone], atol=1e-4
    )


@pytest.mark.parametrize("beams", [1, 3])
def test_log_probabilities_are_those_of_a_plain_forward_pass(family, shapes, beams):
    name, captioner, model, processor = family
    generation = Generation(prompt=PROMPTS[name], num_beams=beams, max_new_tokens=LIMIT)
    ends = torch.tensor([2, 1] if name == "qwen2_5_vl" else [2])
    compared = 0
    for picture, caption in zip(shapes, captioner.caption(shapes, generation), strict=True):
        inputs, tokens = generate(model, processor, picture, PROMPTS[name], num_beams=beams)
        end = torch.isin(tokens, ends).nonzero()
        tokens = tokens[: int(end[0]) + 1] if len(end) else tokens
        if 4 in tokens:  # random weights: an image's place was written, which no pass takes
            continue
        compared += 1
        logits = forward(model, inputs, tokens)
        chosen = logits.log_softmax(-1).gather(1, tokens[:, None])
        assert caption.num_tokens == len(tokens)
        assert caption.mean_logprob == pytest.approx(float(chosen.mean()), abs=1e-4)
    assert compared >= 2


def forward(model, inputs, tokens):
    """The logits [s, vocabulary] that predict `tokens`, all in one pass."""
    with torch.no_grad():
        if model.config.get_text_config().is_encoder_decoder or model.config.is_encoder_decoder:
            text = model.config.get_text_config()
            begin = torch.tensor([text.decoder_start_token_id])
            before = torch.cat([begin, tokens[:-1]])[None]
            return model(**inputs, decoder_input_ids=before).logits[0]
        longer = dict(inputs)
        longer["input_ids"] = torch.cat([inputs["input_ids"][0], tokens])[None]
        longer["attention_mask"] = torch.ones_like(longer["input_ids"])
        if "mm_token_type_ids" in longer:
            zeros = torch.zeros_like(tokens)[None]
            longer["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], zeros], 1)
        return model(**longer).logits[0, -len(tokens) - 1 : -1]


def test_a_captioner_without_a_prompt_asks_for_one(qwen, pictures):
    with pytest.raises(UserError, match="writes nothing without a prompt") as failure:
        qwen.caption(pictures[:1], Generation())
    assert "set `prompt`" in failure.value.hint


def test_a_prompt_that_the_processor_does_not_take(tmp_path, pictures):
    llava = CaptionerSpec(model=str(build("llava", tmp_path)), device="cpu").load()
    with pytest.raises(UserError, match="does not take this prompt") as failure:
        llava.caption(pictures[:1], Generation(prompt="describe"))
    assert "<image>" in failure.value.hint


def test_more_tokens_than_positions_are_refused(qwen, pictures):
    with pytest.raises(UserError, match="max_new_tokens is 999") as failure:
        qwen.caption(pictures[:1], Generation(prompt="describe", max_new_tokens=999))
    assert "at most" in failure.value.hint


def test_sampling_is_generate_under_the_images_own_seed(qwen, pictures):
    generation = Generation(
        prompt="describe", do_sample=True, num_beams=1, top_p=0.9, temperature=1.3, max_new_tokens=6
    )
    seeds = [11, 12, 13]
    own = qwen.caption(pictures[:3], generation, seeds)
    assert own == [
        qwen.caption([picture], generation, [seed])[0]
        for picture, seed in zip(pictures[:3], seeds, strict=True)
    ]
    other = qwen.caption(pictures[:3], generation, [1, 2, 3])
    assert [c.text for c in own] != [c.text for c in other]


def test_the_image_is_prepared_with_its_batch(qwen):
    image = Image.new("RGB", (40, 30))
    assert qwen.prepare(image) is image
