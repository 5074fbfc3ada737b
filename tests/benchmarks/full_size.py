"""Checkpoints of the published sizes and formats with random weights: nothing to download.

    python -m tests.benchmarks.full_size FOLDER [--only ViT-B-32 --only blip-base ...]

CLIPs are made and saved by open_clip's own code (`save_for_hf`, what `push_to_hf_hub` uploads):
configuration, safetensors, and CLIP's real tokenizer out of open_clip's package. Their weights are
open_clip's own initialisation, with which different photographs already get different vectors.

BLIP captioners have the configuration of Salesforce/blip-image-captioning-base and -large. BERT's
vocabulary cannot be had without a download, so a WordPiece of exactly its size is trained on the
text of Python's standard library, with BERT's special tokens at BERT's places and BLIP's two behind
them. transformers' own initialisation would write the same token for ever: the weights are larger,
and the end token is made likelier, so that captions differ and some end by themselves. They are
nonsense, and they are the same nonsense for whoever calls the model.
"""

import argparse
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLIPS = ("ViT-B-32", "ViT-L-14")
VOCABULARY = 30522  # of bert-base-uncased; BLIP adds [DEC] and [ENC]
_FIRST_WORD = 999  # before it stand special tokens and places left free
_WORDS = 8_000_000  # read for the WordPiece: enough for the vocabulary to fill up

# what the published config.json files say where they differ from transformers' defaults
_BLIPS: dict[str, dict[str, dict[str, Any]]] = {
    "blip-base": {
        "text": {"num_attention_heads": 12},
        "vision": {"initializer_range": 0.02},
    },
    "blip-large": {
        "text": {"num_attention_heads": 12, "encoder_hidden_size": 1024},
        "vision": {
            "initializer_range": 0.02,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
        },
    },
}
BLIPS = tuple(_BLIPS)
NAMES = (*CLIPS, *BLIPS)


def build(root: Path, names: tuple[str, ...] = NAMES) -> dict[str, Path]:
    """The folders of these checkpoints below `root`, each made if it is not there, by name."""
    folders = {}
    for name in names:
        folder = folders[name] = root / name
        if not (folder / "complete").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (clip if name in CLIPS else blip)(name, folder)
            (folder / "complete").touch()
    return folders


def clip(name: str, folder: Path, seed: int = 0) -> None:
    """Saves open_clip's model `name`, freshly initialised, so that `local-dir:` loads it."""
    import open_clip
    import torch
    from open_clip.push_to_hf_hub import save_for_hf

    torch.manual_seed(seed)
    model = open_clip.create_model(name)
    config = open_clip.get_model_config(name)
    save_for_hf(model, _clip_tokenizer(), config, folder, safe_serialization=True)


def _clip_tokenizer() -> Any:
    """CLIP's byte-pair encoding as transformers keeps it, out of open_clip's package."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    own = SimpleTokenizer()
    merges = sorted(own.bpe_ranks, key=own.bpe_ranks.get)
    return CLIPTokenizer(vocab=own.encoder, merges=merges, model_max_length=77)


def blip(name: str, folder: Path, seed: int = 0) -> None:
    """Saves a BLIP captioner with its processor, as `save_pretrained` writes them."""
    import torch
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    (folder / "vocab.txt").write_text("\n".join(wordpiece()) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(
        str(folder / "vocab.txt"),
        bos_token="[DEC]",
        additional_special_tokens=["[ENC]"],
        model_max_length=512,
    )
    config = BlipConfig(text_config=_BLIPS[name]["text"], vision_config=_BLIPS[name]["vision"])
    torch.manual_seed(seed)
    model = BlipForConditionalGeneration(config).eval()
    _enliven(model)
    model.save_pretrained(folder)
    images = BlipImageProcessor(size={"height": 384, "width": 384})
    BlipProcessor(images, tokenizer).save_pretrained(folder)


def _enliven(model: Any) -> None:
    """Random weights under which images get captions of their own, of words, and not all as long.

    Larger weights than transformers' initialisation let a token depend on the image and on the
    tokens before it; the end token is made likelier, special and unused tokens impossible.
    """
    import torch

    scales = {"word_embeddings": 4.0, "position_embeddings": 8.0}
    with torch.no_grad():
        for name, weight in model.text_decoder.named_parameters():
            kind = name.split(".")[-2]
            if weight.ndim == 2:
                weight.mul_(scales.get(kind, 1.0 if "embeddings" in name else 10.0))
        bias = model.text_decoder.cls.predictions.bias
        bias[:_FIRST_WORD] = bias[VOCABULARY:] = -30.0
        bias[model.config.text_config.sep_token_id] = 7.5


def wordpiece(size: int = VOCABULARY) -> list[str]:
    """BERT's vocabulary by its layout: [PAD], unused places, [UNK] at 100, and words from 999 on.

    With [DEC] and [ENC] behind the `size` entries.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    front = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    front += [f"[unused{i}]" for i in range(99, _FIRST_WORD - 5)]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size - len(front), show_progress=False)
    tokenizer.train_from_iterator(_text(), trainer)
    learned = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    if len(learned) != size - len(front):
        raise SystemExit(f"the text gives {len(learned)} word pieces, not {size - len(front)}")
    return [*front, *learned, "[DEC]", "[ENC]"]


def _text() -> Iterator[str]:
    """The words of the standard library's source files, most of them English."""
    left = _WORDS
    for file in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in file.parts:
            continue
        words = re.findall(r"[A-Za-z]+|[.,:;!?'\"()-]", file.read_text("utf-8", errors="ignore"))
        yield " ".join(words[:left])
        left -= len(words)
        if left <= 0:
            return


def main() -> None:
    """Builds the checkpoints that are not there yet, and says how large they are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", choices=NAMES)
    options = parser.parse_args()
    for name, folder in build(options.folder, tuple(options.only or NAMES)).items():
        kinds = Counter()
        for file in folder.iterdir():
            kinds[file.suffix] += file.stat().st_size
        print(f"{name:12} {sum(kinds.values()) / 1e6:8.0f} MB  {folder}")


if __name__ == "__main__":
    main()
