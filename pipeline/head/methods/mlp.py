"""The head: an MLP over standardised misalignments, and its file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.vectors.row_reader import InMemory, Source, moments, over_blocks

FORMAT = 3  # 2 did not say of which method it is
HEAD = "head"  # what the files of the head on all features are called, before their suffixes
WEIGHTS, ABOUT = ".safetensors", ".json"
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
        self.built = {"hidden": list(hidden), "activation": activation, "norm": norm}
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("shift", torch.zeros(width))
        layers: list[nn.Module] = []
        for size in hidden:
            normalised = [nn.LayerNorm(size)] if norm == "layer" else []
            layers += [nn.Linear(width, size), *normalised, ACTIVATIONS[activation]()]
            layers.append(nn.Dropout(dropout))
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    @classmethod
    def linear(
        cls, weight: ArrayLike, bias: float, scale: ArrayLike = 1.0, shift: ArrayLike = 0.0
    ) -> "Head":
        """The head of the logit (x * scale + shift) @ weight + bias; `weight` is [width]."""
        weight = torch.as_tensor(np.asarray(weight), dtype=torch.float32)
        head = cls(len(weight), ())
        with torch.no_grad():
            for own, given in ((head.scale, scale), (head.shift, shift)):
                own.copy_(torch.as_tensor(np.asarray(given), dtype=torch.float32))
            head.layers[0].weight.copy_(weight)
            head.layers[0].bias.fill_(bias)
        return head.eval()

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


def stem_of(experiment: Experiment, method: str) -> str:
    """What the files of a method's head are called: by its place, since names may hold anything."""
    if method == "+".join(experiment.features):
        return HEAD
    return f"method-{experiment.methods.index(method)}"


def save_head(
    head: Head,
    folder: Path,
    widths: Mapping[str, int],
    features: Mapping[str, Any],
    inputs: Mapping[str, Any],
    method: str,
    stem: str = HEAD,
) -> None:
    """Writes `stem`.safetensors and `stem`.json.

    `widths`: feature -> its width, in the order of the head's input. `features`: how
    misalignment is represented and pooled. `inputs`: the fingerprints of the nodes that made the
    features, which whoever applies the head compares with his own. `method`: its name in the run's
    tables.
    """
    weights = save(head.state_dict())  # save_file hides it from other users
    (folder / f"{stem}{WEIGHTS}").write_bytes(weights)
    about = {
        "format": FORMAT,
        "method": method,
        "input": dict(widths),
        **features,
        "standardised": True,
        "without_objects": "zeros",
        **head.built,
        "output": "logit of fake",
        "made_from": dict(inputs),
    }
    text = json.dumps(about, indent=1)
    (folder / f"{stem}{ABOUT}").write_text(text + "\n", encoding="utf-8")


def load_head(folder: Path, stem: str = HEAD) -> tuple[Head, dict[str, Any]]:
    """A head of a run folder, ready to apply, and its json: the one on all features, or `stem`.

    Raises UserError for a folder that holds no such head, a damaged one, or one of another format.
    """
    try:
        about = json.loads((folder / f"{stem}{ABOUT}").read_text("utf-8"))
        if about["format"] != FORMAT:
            raise UserError(
                f"the head has format {about['format']}; this version reads {FORMAT}",
                str(folder),
                "train it again with `item train`",
            )
        weights = load_file(folder / f"{stem}{WEIGHTS}")
        for name, tensor in weights.items():
            if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} is not finite float32")
        hidden = about["hidden"]
        if not isinstance(hidden, list) or len(hidden) >= len(weights):
            raise ValueError("its hidden layers are not those of its weights")
        with torch.device("meta"):  # whatever its sizes say, memory is that of the weights alone
            shape = (hidden, 0.0, about["activation"], about["norm"])
            head = Head(sum(about["input"].values()), *shape)
        head.load_state_dict(weights, assign=True)
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
