"""What of an image a CLIP sees, known without its weights: how its transform makes it square."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.weights import checkpoints

if TYPE_CHECKING:
    from pipeline.models.clip.clip import ClipSpec

_CONFIG = "open_clip_config.json"
_OWN = {"resize_mode": "shortest", "size": 224}  # what open_clip does where nothing is said


@dataclass(frozen=True)
class View:
    """`mode`: shortest (the middle is cut out), longest (padded) or squash; size in pixels."""

    mode: str
    height: int
    width: int


def shown(view: View, width: Any, height: Any) -> tuple[Any, Any]:
    """How much of the width and of the height of images (pixels; numbers or arrays) is seen.

    Fractions: below 1 where a crop cuts, above 1 where the transform pads.
    """
    if view.mode == "squash":
        return width / width, height / height
    ratios = (width / view.width, height / view.height)
    ratio = np.maximum(*ratios) if view.mode == "longest" else np.minimum(*ratios)
    return view.width * ratio / width, view.height * ratio / height


def view_of(spec: "ClipSpec") -> View | None:
    """How this CLIP looks at images; None when its configuration is not on this machine.

    For a name of open_clip's list this imports open_clip, for a folder and a hub model nothing.
    """
    if spec.named:
        return _of_tag(checkpoints.split_pin(spec.model)[0], str(spec.pretrained))
    folder = checkpoints.local_folder(spec.model)
    if folder is None:
        name, pin = checkpoints.split_pin(spec.model)
        hub = checkpoints.repository(name)
        revision = pin or checkpoints.cached_revision(hub)
        if revision is None:
            return None
        folder = checkpoints.snapshot(hub, revision)
    try:
        content = json.loads((folder / _CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    tower = content.get("model_cfg", {}).get("vision_cfg", {})
    return _view({**_OWN, "size": tower.get("image_size", 224)}, content.get("preprocess_cfg", {}))


def _of_tag(model: str, tag: str) -> View | None:
    from open_clip.factory import get_model_config
    from open_clip.pretrained import get_pretrained_cfg

    config = get_model_config(model)
    if config is None:
        return None
    size = config.get("vision_cfg", {}).get("image_size", 224)
    return _view({**_OWN, "size": size}, get_pretrained_cfg(model, tag))


def _view(default: dict[str, Any], said: dict[str, Any]) -> View:
    merged = {**default, **{name: said[name] for name in default if said.get(name) is not None}}
    size = merged["size"]
    height, width = (size, size) if isinstance(size, int) else size
    return View(merged["resize_mode"], height, width)
