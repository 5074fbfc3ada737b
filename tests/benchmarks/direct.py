"""Direct calls of open_clip, transformers and spaCy, one image or text at a time, nothing shared.

Nothing here imports `pipeline`: files are opened with Pillow, models as their documentation says.
"""

from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import spacy
import torch
from PIL import Image, ImageOps
from transformers import BlipForConditionalGeneration, BlipProcessor
from transformers.utils.logging import disable_progress_bar

HYPHENS = ("-", "\u2010", "\u2011")


class Clip:
    """open_clip in float32; vectors are float64 of length 1."""

    def __init__(self, folder: Path):
        name = f"local-dir:{folder}"
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(name)
        self.tokenizer = open_clip.get_tokenizer(name)
        self.model.eval()
        own = self.model.visual.preprocess_cfg
        self.squash = open_clip.image_transform(
            own["size"],
            is_train=False,
            resize_mode="squash",
            **{name: own[name] for name in ("mean", "std", "interpolation")},
        )

    @torch.no_grad()
    def image(self, image: Image.Image) -> np.ndarray:
        """The unit vector [d] of an RGB image."""
        return _unit(self.model.encode_image(self.preprocess(image)[None])[0])

    @torch.no_grad()
    def region(self, image: Image.Image) -> np.ndarray:
        """The unit vector [d] of a region, an RGB image, all of it at the model's size."""
        return _unit(self.model.encode_image(self.squash(image)[None])[0])

    @torch.no_grad()
    def text(self, text: str) -> np.ndarray:
        """The unit vector [d] of a text."""
        return _unit(self.model.encode_text(self.tokenizer([text]))[0])


class Captioner:
    """transformers' BLIP in float32."""

    def __init__(self, folder: Path):
        disable_progress_bar()  # of reading weights; it would run through the table
        self.model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.processor = BlipProcessor.from_pretrained(folder)
        self.model.eval()

    @torch.no_grad()
    def caption(self, image: Image.Image, beams: int, longest: int) -> str:
        """What `generate` writes about one image."""
        inputs = self.processor(images=image, return_tensors="pt")
        tokens = self.model.generate(**inputs, num_beams=beams, max_new_tokens=longest)
        return self.processor.decode(tokens[0], skip_special_tokens=True).strip()


class Parser:
    """A spaCy pipeline with all its components, asked for one text at a time."""

    def __init__(self, folder: Path):
        self.nlp = spacy.load(folder)

    def reads(self, caption: str, phrase: dict[str, Any]) -> bool:
        """Whether spaCy sees a noun with its modifiers where a row of `objects` says it is.

        The span covers whole tokens, touches no other kind of word than one that can stand in a
        noun phrase, and ends in a noun whose lemma is the head (of `t-shirt`: `t-shirt`).
        """
        start, end = phrase["start"], phrase["end"]
        tokens = [token for token in self.nlp(caption) if start <= token.idx < end]
        if not tokens or tokens[0].idx != start or tokens[-1].idx + len(tokens[-1]) != end:
            return False
        last = tokens[-1]
        lemma = (last.lemma_ or last.text).casefold()
        return (
            " ".join(caption[start:end].casefold().split()) == phrase["phrase"]
            and last.pos_ in ("NOUN", "PROPN")
            and (phrase["head"] == lemma or phrase["head"].endswith(f"-{lemma}"))
            and all(_can_stand_inside(tokens, place) for place in range(len(tokens)))
        )

    def words(self, caption: str) -> list[tuple[str, str, int]]:
        """(text, universal tag, offset) of each token that is not white space."""
        return [(t.text, t.pos_, t.idx) for t in self.nlp(caption) if not t.is_space]


def _can_stand_inside(tokens: list[Any], place: int) -> bool:
    around = tokens[max(place - 1, 0) : place + 2]
    if any(token.text in HYPHENS for token in around):
        return True  # what a hyphen joins is one word, whatever its parts are
    token = tokens[place]
    kinds = ("NOUN", "PROPN", "ADJ", "NUM", "VERB", "ADV", "CCONJ")
    return token.pos_ in kinds or token.text == ","


def upright(path: str) -> Image.Image:
    """The picture as a viewer shows it, RGB over white."""
    image = ImageOps.exif_transpose(Image.open(path.removeprefix("file://")))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


def cut(image: Image.Image, box: dict[str, float], margin: float = 0.0) -> Image.Image:
    """The region's pixels, rounded outward, at least one."""
    spans = []
    for low, high, length in (
        (box["x0"], box["x1"], image.width),
        (box["y0"], box["y1"], image.height),
    ):
        extra = margin * (high - low)
        start = min(max(floor((low - extra) * length + 1e-3), 0), length - 1)
        spans.append((start, max(min(ceil((high + extra) * length - 1e-3), length), start + 1)))
    (left, right), (top, bottom) = spans
    return image.crop((left, top, right, bottom))


def _unit(vector: torch.Tensor) -> np.ndarray:
    vector = vector.double()
    return (vector / vector.norm()).numpy()
