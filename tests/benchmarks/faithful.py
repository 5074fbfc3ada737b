"""Are the cached features what open_clip, transformers and spaCy say, called directly?

    python tests/benchmarks/faithful.py --store STORE --models data/demo/models -n 50

Takes n images of a features node at random and computes captions, global D and local D again, one
image at a time and without a line of the pipeline. Where an object is, and which words of the
caption are its phrase, are choices of the pipeline's own: boxes and phrases are read from the
store, and spaCy is asked whether each phrase is what it calls a noun with its modifiers. Ends with
status 1 when a component of global or local D is off by more than 2e-3, or a caption differs.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow.compute as pc
import pyarrow.dataset as ds
import spacy
import torch
from PIL import Image, ImageOps
from transformers import BlipForConditionalGeneration, BlipProcessor

BAR = 2e-3  # per component of D, stored as float16
NODES = ("captions", "objects", "image_embeddings", "text_embeddings", "object_embeddings")


def newest(store: Path, stage: str) -> Path:
    """The folder of the stage's node that was written last."""
    folders = [recipe.parent for recipe in (store / stage).glob("*/recipe.json")]
    if not folders:
        sys.exit(f"{store} holds no node of the stage {stage}")
    return max(folders, key=lambda folder: (folder / "recipe.json").stat().st_mtime)


def find(store: Path, fingerprint: str) -> Path:
    """The node folder with this fingerprint, whatever its stage."""
    (folder,) = store.glob(f"*/{fingerprint}")
    return folder


def recipe(folder: Path) -> dict[str, Any]:
    """What a node was made with."""
    return json.loads((folder / "recipe.json").read_text())


def rows(folder: Path, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The rows of a node by image_id, for these images only."""
    table = ds.dataset(folder, format="parquet", exclude_invalid_files=True).to_table(
        filter=pc.field("image_id").isin(ids)
    )
    grouped: dict[str, list[dict[str, Any]]] = {name: [] for name in ids}
    for row in table.to_pylist():
        grouped[row["image_id"]].append(row)
    return grouped


class Models:
    """The three libraries, called as their own documentation does."""

    def __init__(self, clip: Path, captioner: Path, parser: Path):
        name = f"local-dir:{clip}"
        self.clip, _, self.preprocess = open_clip.create_model_and_transforms(name)
        self.tokenizer = open_clip.get_tokenizer(name)
        self.blip = BlipForConditionalGeneration.from_pretrained(captioner, dtype=torch.float32)
        self.processor = BlipProcessor.from_pretrained(captioner)
        self.nlp = spacy.load(parser)
        self.clip.eval()
        self.blip.eval()

    @torch.no_grad()
    def image(self, image: Image.Image) -> np.ndarray:
        vector = self.clip.encode_image(self.preprocess(image)[None])[0].double()
        return (vector / vector.norm()).numpy()

    @torch.no_grad()
    def text(self, text: str) -> np.ndarray:
        vector = self.clip.encode_text(self.tokenizer([text]))[0].double()
        return (vector / vector.norm()).numpy()

    @torch.no_grad()
    def caption(self, image: Image.Image, beams: int, longest: int) -> str:
        inputs = self.processor(images=image, return_tensors="pt")
        tokens = self.blip.generate(**inputs, num_beams=beams, max_new_tokens=longest)
        return self.processor.decode(tokens[0], skip_special_tokens=True).strip()


@dataclass
class Found:
    """What the comparison has seen so far."""

    images: int = 0
    captions: int = 0
    phrases: int = 0
    nouns: int = 0
    objects_counted: int = 0
    worst: dict[str, float] = field(default_factory=dict)

    def off(self, what: str, stored: Any, again: Any) -> None:
        """Keeps the largest absolute difference; a value on one side only counts as infinite."""
        if stored is None or again is None:
            difference = 0.0 if stored is again is None else float("inf")
        else:
            difference = float(np.abs(np.float64(stored) - np.float64(again)).max())
        self.worst[what] = max(self.worst.get(what, 0.0), difference)


def upright(path: str) -> Image.Image:
    """The picture as a viewer shows it, RGB over white."""
    image = ImageOps.exif_transpose(Image.open(path.removeprefix("file://")))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


def cut(image: Image.Image, box: dict[str, float], margin: float) -> Image.Image:
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


def is_noun_phrase(models: Models, caption: str, row: dict[str, Any]) -> bool:
    """spaCy sees a noun at the phrase's end, with the head's lemma, and the words as written."""
    written = " ".join(caption[row["start"] : row["end"]].casefold().split())
    tokens = [token for token in models.nlp(caption) if row["start"] <= token.idx < row["end"]]
    last = tokens[-1]
    lemma = (last.lemma_ or last.text).casefold()
    return (
        written == row["phrase"]
        and last.pos_ in ("NOUN", "PROPN")
        and (row["head"] == lemma or row["head"].endswith(f"-{lemma}"))
    )


def compare(store: Path, features: Path, models: Models, count: int, seed: int) -> Found:
    """Reads what the node cached for `count` images and computes it again."""
    nodes = {name: find(store, recipe(features)["inputs"][name]) for name in NODES}
    made = {name: recipe(folder)["parameters"] for name, folder in nodes.items()}
    nodes["images"] = find(store, recipe(nodes["captions"])["inputs"]["images"])
    nodes["regions"] = find(store, recipe(nodes["object_embeddings"])["inputs"]["regions"])
    template = made["text_embeddings"]["phrase_template"]

    every = ds.dataset(features, format="parquet", exclude_invalid_files=True).to_table()
    good = every.filter(pc.is_null(every["error"]))
    chosen = np.random.default_rng(seed).permutation(len(good))[:count]
    cached = good.take(np.sort(chosen)).to_pylist()
    ids = [row["image_id"] for row in cached]
    stored = {name: rows(nodes[name], ids) for name in ("images", "captions", "objects", "regions")}

    found = Found()
    for row in cached:
        key = row["image_id"]
        image = upright(stored["images"][key][0]["uri"])
        settings = made["captions"]
        caption = models.caption(image, settings["num_beams"], settings["max_new_tokens"])
        found.images += 1
        found.captions += caption == stored["captions"][key][0]["caption"]
        d = models.image(image) - models.text(caption)
        found.off("global", row["global"], d)
        found.off("distance_global", row["distance_global"], np.linalg.norm(d))

        boxes = {box["object_no"]: box for box in stored["regions"][key]}
        objects = [named for named in stored["objects"][key] if named["object_no"] is not None]
        parts = []
        for named in objects:
            found.phrases += 1
            found.nouns += is_noun_phrase(models, caption, named)
            box = boxes[named["object_no"]]
            region = cut(image, box, made["object_embeddings"]["margin"])
            parts.append(models.image(region) - models.text(template.format(named["phrase"])))
        found.objects_counted += row["num_objects"] == len(parts)
        found.off("local", row["local"], np.mean(parts, axis=0) if parts else None)
        lengths = np.mean([np.linalg.norm(part) for part in parts]) if parts else None
        found.off("distance_local", row["distance_local"], lengths)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--features", help="fingerprint of the features node; default: the newest")
    parser.add_argument("--models", type=Path, help="a folder with clip, captioner and parser")
    for name in ("clip", "captioner", "parser"):
        parser.add_argument(f"--{name}", type=Path, help=f"default: MODELS/{name}")
    parser.add_argument("-n", type=int, default=50, help="images")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    features = (
        options.store / "features" / options.features
        if options.features
        else newest(options.store, "features")
    )
    folders = [getattr(options, n) or options.models / n for n in ("clip", "captioner", "parser")]
    found = compare(options.store, features, Models(*folders), options.n, options.seed)
    print(f"features node        {features.name}")
    print(f"images               {found.images}")
    print(f"captions equal       {found.captions} of {found.images}")
    print(f"phrases are nouns    {found.nouns} of {found.phrases}")
    print(f"object counts equal  {found.objects_counted} of {found.images}")
    for name, value in found.worst.items():
        print(f"max |difference|     {name:16} {value:.2e}")
    vectors = max(found.worst.get("global", 0.0), found.worst.get("local", 0.0))
    if not found.images or vectors > BAR or found.captions < found.images:
        sys.exit(f"not faithful: the bar is {BAR} per component, and every caption equal")
    print(f"faithful: within {BAR} per component")


if __name__ == "__main__":
    main()
