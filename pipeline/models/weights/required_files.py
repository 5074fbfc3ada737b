"""Which of a published checkpoint's files a loader reads, and which of them a folder lacks."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.models.weights.open_clip_tags import WEIGHTS as OPEN_CLIP_WEIGHTS

# in the order in which transformers looks for them; the second and fourth list their shards
_TRANSFORMERS_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_INDEX = ".index.json"
_SETTINGS = {".json", ".txt", ".jinja", ".model", ".tiktoken", ".spm", ".bpe"}
_NEVER = re.compile(r"(tf_|flax_|rust_|onnx|openvino|trainer_state|training_args|requirements)")
_TOKENIZERS = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model"),
    *("sentencepiece.bpe.model", "spm.model", "source.spm"),
)
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


def transformers_files(names: Iterable[str], remote_code: bool = False) -> list[str]:
    """What `from_pretrained` reads of a repository's files: settings, tokenizer and weights.

    One set of weights: safetensors where there are any; never copies for other frameworks. Python
    files only with `remote_code`. Empty when the repository holds no weights that can be loaded.
    """
    names = sorted(names)
    weights = next((found for w in _TRANSFORMERS_WEIGHTS if (found := _with_shards(w, names))), [])
    code = [name for name in names if name.endswith(".py")] if remote_code else []
    return sorted({*weights, *settings(names), *code}) if weights else []


def open_clip_files(names: Iterable[str]) -> list[str]:
    """What open_clip reads of a hub repository: its configuration, weights, and the tokenizer.

    Empty when the repository holds no open_clip weights.
    """
    names = sorted(names)
    weights = [name for name in OPEN_CLIP_WEIGHTS if name in names][:1]
    return sorted({*weights, *settings(names)}) if weights else []


def settings(names: Iterable[str]) -> list[str]:
    """The small files beside the weights: configurations, tokenizers, chat templates."""
    return [
        name
        for name in names
        if Path(name).suffix in _SETTINGS
        and not name.endswith(_INDEX)
        and not _NEVER.match(name)
        and ("/" not in name or name.startswith("additional_chat_templates/"))
    ]


def lacking(folder: Path, kind: str) -> list[str]:
    """What a `transformers` or `open_clip` checkpoint's folder lacks, in words; reads no weights.

    A file is named where one is meant, and the choice where any of several would do.
    """
    if not folder.is_dir():
        return [str(folder)]
    names = sorted(path.name for path in folder.iterdir())
    if kind == "open_clip":
        missing = _none_of(names, ("open_clip_config.json",), "")
        has = [name for name in names if name.endswith((".safetensors", ".bin", ".pth"))]
        return missing + ([] if has else _none_of(names, OPEN_CLIP_WEIGHTS, "weights"))
    missing = _none_of(names, ("config.json",), "")
    indexes = [name for name in _TRANSFORMERS_WEIGHTS if name in names]
    if not indexes:
        missing += _none_of(names, (_TRANSFORMERS_WEIGHTS[0],), "weights")
    elif indexes[0].endswith(_INDEX):
        shards = _mapping(folder / indexes[0]).get("weight_map", {}).values()
        missing += sorted(set(shards) - set(names))
    missing += _none_of(names, _PROCESSORS, "image processor")
    return missing + _none_of(names, _TOKENIZERS, "tokenizer")


def needs_remote_code(config: Path) -> bool:
    """Whether a checkpoint's `config.json` points at Python code of its own (`auto_map`)."""
    return config.is_file() and bool(_mapping(config).get("auto_map"))


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds any tokenizer's files."""
    return any((folder / name).is_file() for name in _TOKENIZERS)


def open_clip_tokenizer(folder: Path) -> str | None:
    """The tokenizer that an `open_clip_config.json` names; None for open_clip's own."""
    config = _mapping(folder / "open_clip_config.json")
    return config.get("model_cfg", config).get("text_cfg", {}).get("hf_tokenizer_name") or None


def _mapping(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; UserError for a file that is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        content, why = None, str(error)
    else:
        why = "it holds no mapping"
    if not isinstance(content, dict):
        raise UserError(f"a file of the model is damaged: {why}", str(path), "get it again")
    return content


def _with_shards(weights: str, names: Sequence[str]) -> list[str]:
    if weights not in names:
        return []
    if not weights.endswith(_INDEX):
        return [weights]
    stem, suffix = weights.removesuffix(_INDEX).rsplit(".", 1)
    shard = re.compile(rf"{stem}-\d+-of-\d+\.{suffix}")
    return [weights, *(name for name in names if shard.fullmatch(name))]


def _none_of(names: Sequence[str], wanted: Sequence[str], what: str) -> list[str]:
    if any(name in names for name in wanted):
        return []
    shown = " or ".join(wanted[:3])
    return [f"{what} ({shown})" if what else shown]
