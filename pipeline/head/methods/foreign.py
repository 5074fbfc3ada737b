"""Linear heads that others trained on CLIP's raw image embeddings: UnivFD's fc_weights.pth."""

import warnings
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.head.vectors.row_reader import Source

_LINEAR = "a linear head is weight [1, width] and bias [1]"
_SHAPES = {"weight": (1, "width"), "bias": (1,)}
_ADVICE = "save it as torch.save({'weight': …, 'bias': …}, FILE), a layer's state_dict()"


def digests(paths: Mapping[str, str]) -> dict[str, str]:
    """Name -> SHA-256 of each file, which is part of a run's identity. UserError without it."""
    found = {}
    for name, path in paths.items():
        try:
            if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
                raise OSError("it is no file")
            found[name] = sha256(Path(path).read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(
                f"the foreign head '{name}' cannot be read: {error.strerror or error}",
                path,
                "`foreign` gives names to files, by paths relative to the DAG file",
            ) from None
    return found


def check(paths: Mapping[str, str]) -> None:
    """Whether each is there and a linear head, of whatever width; UserError, in one line."""
    digests(paths)
    for path in paths.values():
        load_linear(path)


def load_linear(path: str) -> tuple[np.ndarray, float]:
    """The weight float64 [d] and the bias of a state dict saved by torch: weight [1, d], bias [1].

    Only tensors are read, no code is run. Raises UserError for any other content, in one line.
    """
    import torch

    try:
        with warnings.catch_warnings():  # of kinds of tensors that are refused below
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch's readers raise anything on what they do not know
        raise UserError(
            "this is no file of tensors alone, saved by torch.save", path, _ADVICE
        ) from None
    if not isinstance(state, dict) or set(state) != {"weight", "bias"}:
        raise UserError(f"{_LINEAR}, and this file holds {_described(state)}", path, _ADVICE)
    values = {}
    for name, tensor in state.items():
        problem = _problem(tensor)
        if problem is None and (tensor.ndim != len(_SHAPES[name]) or tensor.shape[0] != 1):
            problem = f"{list(tensor.shape)}"
        if problem is not None:
            raise UserError(f"{_LINEAR}, and this file's {name} is {problem}", path, _ADVICE)
        values[name] = tensor.detach().double().numpy()
    return values["weight"][0], float(values["bias"][0])


def _problem(tensor: Any) -> str | None:
    """Why this is no array of numbers, in words."""
    import torch

    if not isinstance(tensor, torch.Tensor):
        return f"a {type(tensor).__name__}"
    if tensor.is_meta:
        return "a tensor without values (device meta)"
    if tensor.layout != torch.strided:
        return f"not dense ({str(tensor.layout).removeprefix('torch.')})"
    if not tensor.is_floating_point():
        return f"of {str(tensor.dtype).removeprefix('torch.')}"
    if not bool(torch.isfinite(tensor).all()):
        return "not finite everywhere"
    return None


def _described(state: Any) -> str:
    """What a file holds, in a few words."""
    if isinstance(state, dict):
        shapes = [f"{name} {list(getattr(one, 'shape', []))}" for name, one in state.items()]
        more = f" and {len(shapes) - 4} more" if len(shapes) > 4 else ""
        return ", ".join(shapes[:4]) + more if shapes else "nothing"
    size = f" of {len(state)}" if isinstance(state, list | tuple) else ""
    return f"a {type(state).__name__}{size}"


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
