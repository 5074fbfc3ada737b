"""Tiny captioners of the published families: real classes, random weights, real files on disk."""

from pathlib import Path
from typing import Any

_TEXT = """a red ball blue cube on gray background and star describe the image what does user
assistant : . ? <CAPTION>"""
WORDS = _TEXT.split()
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<image>"]


def build(family: str, folder: Path) -> Path:
    """Writes the captioner `family` (a key of `PROMPTS`) into `folder`, as `save_pretrained`."""
    model, processor = _BUILDERS[family]()
    _randomise(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _randomise(model: Any) -> None:
    import torch

    torch.manual_seed(3)
    for parameter in model.parameters():  # so that images get different captions
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)


def _tokenizer(special: list[str], **named: Any) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", **named)


def _plain_tokenizer(**named: Any) -> Any:
    return _tokenizer(SPECIAL, bos_token="<s>", eos_token="</s>", pad_token="<pad>", **named)


def _blip2(text: dict[str, Any]) -> tuple[Any, Any]:
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessor,
    )

    tokenizer = _plain_tokenizer()
    inner = {key: value for key, value in TOWER.items() if not key.endswith("_size")}
    config = Blip2Config(
        vision_config=TOWER,
        qformer_config={
            **inner,
            "hidden_size": 32,
            "intermediate_size": 48,
            "encoder_hidden_size": 32,
        },
        text_config={**text, "vocab_size": len(tokenizer), "pad_token_id": 1, "eos_token_id": 2},
        num_query_tokens=4,
        image_token_index=4,
    )
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    processor = Blip2Processor(images, tokenizer, num_query_tokens=4)
    return Blip2ForConditionalGeneration(config), processor


def _blip2_opt() -> tuple[Any, Any]:
    return _blip2(
        {
            "model_type": "opt",
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
            "bos_token_id": 0,
        }
    )


def _blip2_t5() -> tuple[Any, Any]:
    return _blip2(
        {
            "model_type": "t5",
            "d_model": 32,
            "d_kv": 16,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 2,
            "decoder_start_token_id": 1,
        }
    )


def _florence2() -> tuple[Any, Any]:
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    tokenizer = _plain_tokenizer(extra_special_tokens={"image_token": "<image>"})
    vision = {
        "depths": [1, 1],
        "patch_size": [7, 3],
        "patch_stride": [4, 2],
        "patch_padding": [3, 1],
        "patch_prenorm": [False, True],
        "embed_dim": [16, 32],
        "num_heads": [2, 4],
        "num_groups": [2, 4],
        "window_size": 4,
        "projection_dim": 32,
        "max_position_embeddings": 10,
        "max_temporal_embeddings": 4,
    }
    text = {
        "model_type": "bart",
        "vocab_size": len(tokenizer),
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": None,
    }
    config = Florence2Config(vision_config=vision, text_config=text, image_token_id=4)
    images = CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    images.image_seq_length = 17  # 4 x 4 patches, and their mean
    return Florence2ForConditionalGeneration(config), Florence2Processor(images, tokenizer)


def _idefics3() -> tuple[Any, Any]:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    places = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    marks = ["<image>", "<fake_token_around_image>", "<global-img>", *places]
    tokenizer = _tokenizer(
        ["<|im_start|>", "<pad>", "<end_of_utterance>", "<unk>", *marks],
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<pad>",
        additional_special_tokens=marks,
    )
    config = Idefics3Config(
        vision_config=TOWER,
        text_config={**LLAMA, "vocab_size": len(tokenizer)},
        image_token_id=4,
        scale_factor=2,
        pad_token_id=1,
    )
    images = Idefics3ImageProcessor(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    template = (
        "<|im_start|>{% for message in messages %}{{ message['role'] }}:"
        "{% for part in message['content'] %}{% if part['type'] == 'text' %} {{ part['text'] }}"
        "{% else %}<image>{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template)
    return Idefics3ForConditionalGeneration(config), processor


def _qwen2_5_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    special = ["<|im_start|>", "<|endoftext|>", "<|im_end|>", "<unk>", "<|image_pad|>"]
    special += ["<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer = _tokenizer(
        special,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=special,
    )
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "patch_size": 14,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        text_config={
            **{key: value for key, value in LLAMA.items() if key != "model_type"},
            "vocab_size": len(tokenizer),
            "rope_parameters": rope,
        },
        image_token_id=4,
        video_token_id=5,
        vision_start_token_id=6,
        vision_end_token_id=7,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = [2, 1]  # two of them, as the published ones have
    size = {"shortest_edge": 28 * 28 * 4, "longest_edge": 28 * 28 * 9}
    template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
        "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}{% endfor %}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(size=size),
        tokenizer,
        Qwen2VLVideoProcessor(size=size),
        chat_template=template,
    )
    return model, processor


def _llava() -> tuple[Any, Any]:
    from transformers import (
        CLIPImageProcessor,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = _plain_tokenizer(additional_special_tokens=["<image>"])
    config = LlavaConfig(
        vision_config={**TOWER, "model_type": "clip_vision_model", "projection_dim": 16},
        text_config={**LLAMA, "vocab_size": len(tokenizer)},
        image_token_index=4,
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return LlavaForConditionalGeneration(config), processor


_BUILDERS = {
    "blip2_opt": _blip2_opt,
    "blip2_t5": _blip2_t5,
    "florence2": _florence2,
    "idefics3": _idefics3,
    "qwen2_5_vl": _qwen2_5_vl,
    "llava": _llava,
}
PROMPTS = {
    **dict.fromkeys(_BUILDERS, "describe the image"),
    "florence2": "<CAPTION>",
    "llava": "user : <image> describe assistant :",
}
