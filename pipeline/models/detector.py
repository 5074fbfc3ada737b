"""Zero-shot object detectors through transformers: which one, how it loads, what it answers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from pipeline.models import checkpoints
from pipeline.models.pixels import whole
from pipeline.models.precision import Precision
from pipeline.models.transfer import Home
from pipeline.stages import ModelName, Parameters, tuning

Family = Literal["owlv2", "grounding-dino"]

_AUTO = {"cpu": 4, "cuda": 32}  # images of about a million pixels each


@dataclass(frozen=True)
class Sought:
    """A prepared image and the phrases to look for in it, each of them once."""

    image: Image.Image
    phrases: tuple[str, ...]

    @property
    def width(self) -> int:
        """In pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self.image.height

    @property
    def area(self) -> int:
        """Pixels of the square that it may be padded to; batches are bounded by them."""
        return max(self.image.size) ** 2


@dataclass(frozen=True)
class Located:
    """What was found in n images, of at most k phrases of each, on its way from the device.

    `found`: boxes float32 [n, k, 4] and scores float32 [n, k]; image i has `counts[i]` phrases.
    """

    found: Home
    counts: tuple[int, ...]

    def each(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(boxes [k, 4], scores [k]) of each image, on the host; waits for the device."""
        boxes, scores = self.found.arrays()
        for place, count in enumerate(self.counts):
            yield boxes[place, :count], scores[place, :count]


class DetectorSpec(Parameters):
    """Which detector: a folder written by `save_pretrained`, or a name on the hub.

    Weights stay float32; bf16 and fp16 are autocast around the towers, never around what turns
    their features into coordinates, where eight bits would be pixels.
    """

    family: Family
    model: ModelName
    precision: Precision = "fp32"
    trust_remote_code: bool = False
    device: str = tuning("auto")

    def identity(self) -> dict[str, Any]:
        """A hash of the local files, or the hub's name and commit."""
        return checkpoints.identity(self.model, "config.json")

    def load(self) -> "Detector":
        """The loaded model; UserError when it is not there, damaged, or of another family."""
        from transformers.utils.logging import disable_progress_bar

        from pipeline.models import precision
        from pipeline.models.device import resolve

        disable_progress_bar()  # of reading weights; it would run through ours
        device = resolve(self.device)
        used = precision.resolve(self.precision, device)
        kind = f"{self.family} detector"
        name, revision = checkpoints.located(kind, self.model, "config.json")
        try:
            model, processor = self._read(name, revision)
            adapter = _adapter(self.family)
            adapter.check(model, processor)
        except Exception as problem:  # transformers and the hub raise some ten kinds of error here
            raise checkpoints.not_loadable(kind, self.model, problem) from problem
        return adapter(model.to(device).eval(), processor, device, used)

    def _read(self, name: str, revision: str) -> tuple[Any, Any]:
        import torch
        from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor

        source = {"revision": revision, "trust_remote_code": self.trust_remote_code}
        family = AutoConfig.from_pretrained(name, **source).model_type
        if family != self.family:
            raise ValueError(f"it is a '{family}' model, and the method is {self.family}")
        model, report = AutoModelForZeroShotObjectDetection.from_pretrained(
            name, dtype=torch.float32, weights_only=True, output_loading_info=True, **source
        )
        lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
        if lacking:
            raise ValueError(f"{len(lacking)} weights of a detector are missing: {lacking[0]}")
        return model, AutoProcessor.from_pretrained(name, **source)


class Detector(ABC):
    """A loaded detector. `auto` is the batch, in images, that `batch_size: auto` begins with."""

    # what `Sought` holds of an RGB image: the image itself. Its bytes are a tenth of what the model
    # sees (960 x 960 floats, say), so enlarging is left to the batch, on the device
    prepare = staticmethod(whole)

    def __init__(self, model: Any, processor: Any, device: Any, precision: str):
        self.model, self.processor, self.device = model, processor, device
        self.auto: int = _AUTO.get(device.type, _AUTO["cpu"])
        self.precision_used, self.device_used = precision, str(device)

    @staticmethod
    def check(model: Any, processor: Any) -> None:
        """ValueError when the tokenizer does not fit the model.

        Of a folder without a vocabulary transformers makes a tokenizer of two tokens, and no error.
        """
        tokens, rows = len(processor.tokenizer), model.config.text_config.vocab_size
        if not rows / 2 <= tokens <= rows:
            raise ValueError(f"its tokenizer has {tokens} tokens, and its text tower knows {rows}")

    def text(self, phrase: str) -> str:
        """What is looked up for a phrase; phrases with the same text are looked up once."""
        return phrase

    @abstractmethod
    def locate(self, batch: Sequence[Sought]) -> Located:
        """The best box of each phrase: fractions of its upright image, cut at the image's edges.

        The highest score over all of the model's boxes, however low: a phrase that is nowhere has
        a row too. A box keeps the size that the model gave it, be it none. A score that is not
        finite stays so.
        """

    def autocast(self) -> AbstractContextManager:
        """The context in which the towers run in the precision asked for."""
        import torch

        from pipeline.models.precision import dtype as dtype_of

        dtype = dtype_of(self.precision_used)
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)


def corners(boxes: Any, scale: Any) -> Any:
    """Boxes [n, k, 4] as (centre x, centre y, width, height), as corners within [0, 1].

    `scale` [n, 1, 4] is what one unit of the model's frame is in fractions of the image.
    """
    import torch

    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return (torch.cat([centre - half, centre + half], -1) * scale).clamp(0, 1)


def _adapter(family: Family) -> type[Detector]:
    if family == "owlv2":
        from pipeline.models.owlv2 import Owlv2

        return Owlv2
    from pipeline.models.grounding_dino import GroundingDino

    return GroundingDino
