"""The head: an MLP over standardised misalignments, and its file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from pipeline.dag.experiment import HeadConfig
from pipeline.errors import UserError
from pipeline.head.vectors.row_reader import InMemory, Source, moments, over_blocks

FORMAT = 2  # 1 had no activation and no norm of its own: both were fixed
WEIGHTS, ABOUT = "head.safetensors", "head.json"
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


class Head(nn.Module):
    """x float32 [n, width] -> logits [n] of being fake.

    A component of D has a standard deviation of about 1/sqrt(d), so inputs are standardised with
    the training rows' statistics. These travel in the head's file: x * scale + shift.
    """

    def __init__(
        self,
        width: int,
        hidden: Sequence[int],
        dropout: float = 0.0,
        activation: str = "relu",
        norm: str | None = None,
    ):
        super().__init__()
        self.width = width
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("shift", torch.zeros(width))
        layers: list[nn.Module] = []
        for size in hidden:
            normalised = [nn.LayerNorm(size)] if norm == "layer" else []
            layers += [nn.Linear(width, size), *normalised, ACTIVATIONS[activation]()]
            layers.append(nn.Dropout(dropout))
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def standardise(self, rows: Source) -> None:
        """Takes scale and shift from training rows; what never varies there is left out (0)."""
        mean, std = moments(rows)
        self.scale.copy_(torch.where(std > 1e-6, 1 / std, 0.0))
        self.shift.copy_(-mean * self.scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.addcmul(self.shift, x, self.scale)).squeeze(-1)

    @torch.inference_mode()
    def logits(self, rows: Source) -> torch.Tensor:
        """float64 [n], without dropout, some rows at a time."""
        self.eval()
        return torch.from_numpy(over_blocks(rows, self))

    def probabilities(self, x: np.ndarray | Source) -> np.ndarray:
        """The probability of fake, float64 [n], for float32 x [n, width].

        Raises UserError for features of another width than the head was trained on.
        """
        rows = InMemory(x) if isinstance(x, np.ndarray) else x
        if rows.width != self.width:
            raise UserError(
                f"the head reads {self.width} numbers an image, and these features have "
                f"{rows.width}",
                hint="it was trained on another CLIP or other features: train it again on these",
            )
        return torch.sigmoid(self.logits(rows)).numpy()


def save_head(
    head: Head,
    folder: Path,
    widths: Mapping[str, int],
    config: HeadConfig,
    features: Mapping[str, Any],
    inputs: Mapping[str, Any],
) -> None:
    """Writes head.safetensors and head.json.

    `widths`: feature -> its width, in the order of the head's input. `config`: what the head was
    built from. `features`: how misalignment is represented and pooled. `inputs`: the fingerprints
    of the nodes that made the features, which whoever applies the head compares with his own.
    """
    (folder / WEIGHTS).write_bytes(save(head.state_dict()))  # save_file hides it from other users
    about = {
        "format": FORMAT,
        "input": dict(widths),
        **features,
        "standardised": True,
        "without_objects": "zeros",
        "hidden": list(config.hidden),
        "activation": config.activation,
        "norm": config.norm,
        "output": "logit of fake",
        "made_from": dict(inputs),
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load_head(folder: Path) -> tuple[Head, dict[str, Any]]:
    """The head of a run folder, ready to apply, and its head.json.

    Raises UserError for a folder that holds no head, a damaged one, or one of another format.
    """
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        if about["format"] != FORMAT:
            raise UserError(
                f"the head has format {about['format']}; this version reads {FORMAT}",
                str(folder),
                "train it again with `item train`",
            )
        shape = (about["hidden"], 0.0, about["activation"], about["norm"])
        head = Head(sum(about["input"].values()), *shape)
        head.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise UserError(
            f"there is no trained head here: {error.filename} is missing",
            str(folder),
            "give a run folder, as `item train` prints it",
        ) from None
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise UserError(
            f"the head is damaged: {error}", str(folder), "train it again with `item train`"
        ) from None
    return head.eval(), about
