"""Tiny models with random weights, in the published on-disk formats."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "head_width": 16,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 12,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "shortest"},
}
WORDS = ["a", "red", "ball", "blue", "cube", "on", "gray", "background", "and", "star"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny tensors gain nothing from a second thread, and lose much on a busy machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip folder: configuration and safetensors; the tokenizer is open_clip's own."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    (folder / "open_clip_config.json").write_text(json.dumps(CLIP_CONFIG))
    torch.manual_seed(7)
    model = open_clip.CLIP(**CLIP_CONFIG["model_cfg"])
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    return folder


@pytest.fixture(scope="session")
def captioner_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BLIP captioner and its processor, as `save_pretrained` writes them."""
    import torch
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder = tmp_path_factory.mktemp("captioner")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), bos_token="[DEC]")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        **sizes,
        "vocab_size": len(vocabulary),
        "intermediate_size": 48,
        "encoder_hidden_size": 32,
        "max_position_embeddings": 24,
        "bos_token_id": 5,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 0,
    }
    vision = {**sizes, "intermediate_size": 48, "image_size": 32, "patch_size": 8}
    torch.manual_seed(3)
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    model = BlipForConditionalGeneration(config).eval()
    for parameter in model.parameters():  # so that images get different captions
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    with torch.no_grad():  # some captions end by themselves, some at the limit
        model.text_decoder.cls.predictions.bias[text["sep_token_id"]] = 3.0
    model.save_pretrained(folder)
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(images, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Seven RGB images of different sizes."""
    rng = np.random.default_rng(5)
    sizes = [(40, 40), (64, 48), (33, 90), (32, 32), (100, 50), (47, 51), (80, 80)]
    return [
        Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).resize(size) for size in sizes
    ]
