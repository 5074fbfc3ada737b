"""open_clip's pretrained tags: where their weights lie, and how a locked one is found again."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.models.weights import checkpoints

# names that open_clip itself tries, safetensors first
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_CHUNK = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class TagSource:
    """Where a tag's weights come from: a hub repository and candidate files, or a URL."""

    repository: str | None
    files: tuple[str, ...]
    url: str | None


def source(model: str, tag: str) -> TagSource:
    """The source of an open_clip tag, as open_clip itself prefers it; imports open_clip."""
    from open_clip.pretrained import get_pretrained_cfg

    found = get_pretrained_cfg(model, tag)
    repository, _, file = found.get("hf_hub", "").rpartition("/")
    if not repository:
        return TagSource(None, (), found.get("url") or None)
    if not file:
        return TagSource(repository, WEIGHTS, None)
    safe = f"{Path(file).stem}.safetensors"
    return TagSource(repository, (safe, file) if file.endswith((".bin", ".pth")) else (file,), None)


def transform(model: str, tag: str) -> dict[str, Any]:
    """Settings of the tag's image transform, as `create_model_from_pretrained` names them."""
    from open_clip.pretrained import get_pretrained_cfg

    found = get_pretrained_cfg(model, tag)
    names = ("mean", "std", "interpolation", "resize_mode")
    return {f"image_{name}": found[name] for name in names if found.get(name) is not None}


def other_repositories(model: str, folder: Path | None, tokenizer: bool) -> list[str]:
    """Hub repositories that a model's configuration takes its text tower or `tokenizer` from.

    The configuration is the one in `folder`, else open_clip's own of the name `model`.
    """
    if folder is None:
        from open_clip.factory import get_model_config

        config = get_model_config(model) or {}
    else:
        content = json.loads((folder / "open_clip_config.json").read_text())
        config = content.get("model_cfg", content)
    text = config.get("text_cfg", {})
    names = {text.get("hf_model_name"), text.get("hf_tokenizer_name") if tokenizer else None}
    return sorted(name for name in names if name)


def url_file(url: str) -> Path:
    """Where open_clip keeps the file of a URL."""
    return Path("~/.cache/clip").expanduser() / url.rpartition("/")[2]


def pinned_file(model: str, tag: str, pin: str) -> Path:
    """The weights file of a locked tag: of a commit of the hub, or with a SHA-256.

    UserError when it is not on this machine (and the hub does not give it), or is another file.
    """
    place = source(model, tag)
    if place.url is not None:
        return _checked(model, url_file(place.url), pin)
    repository = place.repository or ""
    for file in place.files:
        cached = checkpoints.snapshot(repository, pin) / file
        if cached.is_file():
            return cached
    problem = f"revision {pin[:12]} of {repository} is locked and not on this machine"
    if checkpoints.hub_answers(repository):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        for file in place.files:
            try:
                return Path(hf_hub_download(repository, file, revision=pin))
            except EntryNotFoundError:  # the repository has it under the next name
                continue
            except Exception as error:  # no permission, network lost: each by its own class
                problem = f"{problem}: {error}"
    raise checkpoints.not_loadable("CLIP model", f"{model}:{tag}", problem)


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _checked(model: str, path: Path, pin: str) -> Path:
    if path.is_file() and sha256(path) == pin:
        return path
    why = "is not the one that the lock names" if path.is_file() else "is not on this machine"
    raise UserError(
        f"the weights of the CLIP model '{model}' cannot be loaded: the file {why}",
        str(path),
        "run `item models fetch DAG` where there is a network, and copy that file",
    )
