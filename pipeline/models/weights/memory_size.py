"""What a loaded model takes of a worker's memory, told from its files without loading it."""

from pathlib import Path
from typing import Any

from pipeline.models.weights import checkpoints

_WEIGHTS = ("safetensors", "bin", "pt", "pth")


def weights(spec: Any) -> int:
    """Bytes of the weights that a spec loads; 0 where they are not on this machine yet."""
    name = getattr(spec, "model", "")
    model, pin = checkpoints.split_pin(name)
    folder = checkpoints.local_folder(model)
    if folder is None and getattr(spec, "pretrained", None):
        return _tagged(model, spec.pretrained, pin)
    if folder is None:
        repository = checkpoints.repository(name)
        revision = pin or checkpoints.cached_revision(repository)
        folder = checkpoints.snapshot(repository, revision) if revision else Path("nowhere")
    return _largest_set(folder)


def _tagged(model: str, tag: str, pin: str | None) -> int:
    """Of an open_clip tag, whose place only open_clip knows."""
    from pipeline.models.weights import open_clip_tags

    place = open_clip_tags.source(model, tag)
    if place.repository is None:
        file = open_clip_tags.url_file(place.url) if place.url else Path("nowhere")
        return file.stat().st_size if file.is_file() else 0
    revision = pin or checkpoints.cached_revision(place.repository)
    return _largest_set(checkpoints.snapshot(place.repository, revision)) if revision else 0


def _largest_set(folder: Path) -> int:
    """Bytes of one format's files: a folder may hold the same weights in several."""
    sizes = (sum(f.stat().st_size for f in folder.glob(f"*.{suffix}")) for suffix in _WEIGHTS)
    return max(sizes, default=0)
