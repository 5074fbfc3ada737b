"""Linear heads that others trained on CLIP's raw image embeddings: UnivFD's fc_weights.pth."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.head.vectors.row_reader import Source


def digests(paths: Mapping[str, str]) -> dict[str, str]:
    """Name -> SHA-256 of each file, which is part of a run's identity. UserError without it."""
    found = {}
    for name, path in paths.items():
        try:
            found[name] = sha256(Path(path).read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(
                f"the foreign head '{name}' cannot be read: {error.strerror or error}",
                path,
                "`foreign` gives names to files, by paths relative to the DAG file",
            ) from None
    return found


def load_linear(path: str) -> tuple[np.ndarray, float]:
    """The weight float64 [d] and the bias of a state dict saved by torch: weight [1, d], bias [1].

    Only tensors are read, no code is run. Raises UserError for any other content.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(
            f"this is no file of tensors saved by torch: {str(error).splitlines()[0]}", path
        ) from None
    shapes = {}
    if isinstance(state, dict):
        shapes = {name: list(getattr(value, "shape", [])) for name, value in state.items()}
    weight = shapes.get("weight", [])
    if set(shapes) != {"weight", "bias"} or len(weight) != 2 or weight[0] != 1:
        raise UserError(
            f"a linear head is weight [1, width] and bias [1], and this file has {shapes or state}",
            path,
        )
    if shapes["bias"] != [1]:
        raise UserError(f"a linear head's bias is [1], and this one's {shapes['bias']}", path)
    return state["weight"][0].double().numpy(), float(state["bias"][0])


def apply_linear(path: str, name: str, raw: "Source") -> np.ndarray:
    """The probability of fake, float64 [n], of raw image embeddings [n, d].

    Raw: of the length that CLIP gave them. UnivFD (Ojha et al., CVPR 2023) does not normalise them.
    Raises UserError when the widths differ.
    """
    from scipy.special import expit

    from pipeline.head.vectors.row_reader import over_blocks

    weight, bias = load_linear(path)
    if len(weight) != raw.width:
        raise UserError(
            f"the foreign head '{name}' reads {len(weight)} numbers an image, and the cached image "
            f"embeddings have {raw.width}",
            path,
            "embed the images with the CLIP that it was trained on (UnivFD: ViT-L-14, openai)",
        )
    return expit(over_blocks(raw, lambda block: block.numpy().astype(np.float64) @ weight + bias))
