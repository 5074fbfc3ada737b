"""What every detector answers: images and phrases in, the best box of each phrase out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pipeline.models.clip.pixels import whole
from pipeline.models.transfer import Home

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
