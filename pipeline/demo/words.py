"""Prompts as token numbers for the two conditioned generators.

Only the words that say something about the picture are kept: colours, shapes, texture,
background. The longest prompt (four objects, a texture, a background) has ten of them.
"""

import re

import torch

from pipeline.demo.scenes import BACKGROUNDS, COLOURS, SHAPES, TEXTURES

EMPTY = 0  # padding, and all there is of a prompt that is left out
WORDS = ("", *TEXTURES, *BACKGROUNDS, *COLOURS, *SHAPES)
LENGTH = 10
_NUMBER = {word: number for number, word in enumerate(WORDS)}


def tokenise(prompts: list[str]) -> torch.Tensor:
    """int64 [n, LENGTH] of `n` prompts, padded with EMPTY; function words are dropped.

    Raises ValueError when a prompt has more than LENGTH known words.
    """
    tokens = torch.full((len(prompts), LENGTH), EMPTY, dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        known = [_NUMBER[w] for w in re.findall(r"[a-z]+", prompt.lower()) if w in _NUMBER]
        if len(known) > LENGTH:
            raise ValueError(f"prompt has {len(known)} known words, at most {LENGTH}: {prompt!r}")
        tokens[row, : len(known)] = torch.tensor(known, dtype=torch.int64)
    return tokens
