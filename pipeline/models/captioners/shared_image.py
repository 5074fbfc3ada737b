"""The cache of a decoder whose beams all look at one image: its keys and values stay in place.

After each token transformers gives every beam the cache of the beam that it goes on from. Beams of
one image have the same keys and values of that image, and never those of another one, so that
copying them changes nothing; they are most of what a step of BLIP's decoder moves (577 places an
image, beside at most `max_new_tokens` of the text).
"""

from inspect import signature
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache


class _Still(DynamicCache):
    """Keys and values of images, which are the same for all beams that may change places."""

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Leaves every beam what it has."""


def shared_image(decoder: Any) -> dict[str, Any]:
    """The argument for one `generate` of a model whose part that writes is `decoder`."""
    # transformers 5.23 has another name for it than 5.24
    name = "cache" if "cache" in signature(decoder.forward).parameters else "past_key_values"
    return {name: EncoderDecoderCache(DynamicCache(), _Still())}
