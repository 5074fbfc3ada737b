"""Tiny detectors of the real classes with random weights, as `save_pretrained` writes them."""

import string
from pathlib import Path

import torch
from transformers import (
    BertTokenizerFast,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
)

WORDS = ["a", "the", "red", "ball", "blue", "cube", "on", "grey", "mr", "smith", "star", "##s"]


def save_owlv2(folder: Path) -> Path:
    """An OWLv2 of 48 x 48 pixels in patches of 8, whose tokens are letters, eleven at the most."""
    letters = [*string.ascii_lowercase, ".", "-"]
    names = ["!", *letters, *(f"{letter}</w>" for letter in letters)]
    names += ["<|startoftext|>", "<|endoftext|>"]  # the end has the highest number, as in CLIP
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], pad_token="!", model_max_length=12)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    sizes["num_attention_heads"] = 2
    text = {**sizes, "vocab_size": len(names), "max_position_embeddings": 12}
    text |= {"bos_token_id": len(names) - 2, "eos_token_id": len(names) - 1}
    vision = {**sizes, "image_size": 48, "patch_size": 8}
    torch.manual_seed(11)
    model = Owlv2ForObjectDetection(
        Owlv2Config(text_config=text, vision_config=vision, projection_dim=32)
    )
    _spread(model, 0.25)
    model.save_pretrained(folder)
    images = Owlv2ImageProcessor(size={"height": 48, "width": 48})
    Owlv2Processor(images, tokenizer).save_pretrained(folder)
    return folder


def save_grounding_dino(folder: Path, max_text_len: int = 32) -> Path:
    """A Grounding DINO with a small Swin, twelve boxes, and images of at most 96 pixels."""
    names = [f"[unused{number}]" for number in range(1050)]
    # where BERT has them: the model's code knows these four by number
    names[0], names[1012], names[1029] = "[PAD]", ".", "?"
    names[100:104] = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    names[1030 : 1030 + len(WORDS)] = WORDS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(names))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    config = GroundingDinoConfig(
        backbone_config={
            "model_type": "swin",
            "image_size": 64,
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "window_size": 3,
            "out_indices": [2, 3, 4],
        },
        text_config={
            "model_type": "bert",
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 48,
            "vocab_size": len(names),
        },
        d_model=64,
        num_queries=12,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        max_text_len=max_text_len,
    )
    torch.manual_seed(13)
    model = GroundingDinoForObjectDetection(config)
    _spread(model, 0.1)
    model.save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def _spread(model: torch.nn.Module, std: float) -> None:
    """Larger weights than at birth, so that images and phrases get different answers."""
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "position" not in name:
            torch.nn.init.normal_(weight, std=std)
