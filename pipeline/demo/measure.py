"""How good the bundled models are on held-out scenes: official loaders, real JPEG files."""

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import BlipForConditionalGeneration, BlipProcessor

from pipeline.demo.pool import HELD_OUT_SEEDS
from pipeline.demo.scenes import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    TEXTURES,
    Scene,
    encode_jpeg,
    render,
    sample_scene,
)
from pipeline.models.clip import patches as grounder

_PAIR = re.compile(rf"\b({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})\b")
_GROUND = re.compile(rf"on a ((?:{'|'.join(TEXTURES)}) )?({'|'.join(BACKGROUNDS)}) background$")


@dataclass(frozen=True)
class Example:
    """A held-out scene and its picture as read back from the JPEG file."""

    scene: Scene
    image: Image.Image


def held_out(count: int, distinct: bool = False) -> list[Example]:
    """The first `count` held-out scenes; with `distinct`, the first with different captions."""
    examples: list[Example] = []
    seen: set[str] = set()
    for seed in HELD_OUT_SEEDS:
        scene = sample_scene(seed)
        if distinct and scene.prompt in seen:
            continue
        seen.add(scene.prompt)
        picture = Image.open(BytesIO(encode_jpeg(render(scene), seed))).convert("RGB")
        examples.append(Example(scene, picture))
        if len(examples) == count:
            return examples
    raise ValueError(f"only {len(examples)} held-out scenes, {count} asked for")


@dataclass(frozen=True)
class CaptionScores:
    """Shares from 0 to 1: micro F1 of (colour, shape) pairs, backgrounds (colour and texture)
    right, captions right to the letter."""

    f1: float
    background: float
    exact: float


def caption_scores(folder: Path, examples: list[Example], batch: int = 50) -> CaptionScores:
    """Scores of greedy captions by the model in `folder`."""
    captions = greedy_captions(folder, [e.image for e in examples], batch)
    hits = said = true = grounds = 0
    for caption, example in zip(captions, examples, strict=True):
        wanted = {(o.colour, o.shape) for o in example.scene.objects}
        found = set(_PAIR.findall(caption))
        hits, said, true = hits + len(wanted & found), said + len(found), true + len(wanted)
        ground = _GROUND.search(caption)
        texture = "" if example.scene.texture == "plain" else f"{example.scene.texture} "
        right = (texture, example.scene.background)
        grounds += ground is not None and (ground[1] or "", ground[2]) == right
    exact = sum(c == e.scene.prompt for c, e in zip(captions, examples, strict=True))
    return CaptionScores(
        2 * hits / max(said + true, 1), grounds / len(examples), exact / len(examples)
    )


@torch.inference_mode()
def greedy_captions(folder: Path, images: list[Image.Image], batch: int = 50) -> list[str]:
    """One caption an image by the BLIP in `folder`."""
    model = BlipForConditionalGeneration.from_pretrained(folder, local_files_only=True)
    model = model.float().eval()
    processor = BlipProcessor.from_pretrained(folder, local_files_only=True)
    captions: list[str] = []
    for start in range(0, len(images), batch):
        pixels = processor(images=images[start : start + batch], return_tensors="pt").pixel_values
        ids = model.generate(pixel_values=pixels, num_beams=1, do_sample=False, max_new_tokens=30)
        captions += [t.strip() for t in processor.batch_decode(ids, skip_special_tokens=True)]
    return captions


class Clip:
    """The bundled CLIP as open_clip loads it from `folder`."""

    def __init__(self, folder: Path) -> None:
        model, _, self.preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.model = model.float().eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    @torch.inference_mode()
    def images(self, images: list[Image.Image]) -> torch.Tensor:
        """Unit image embeddings float32 [n, d]."""
        return self.model.encode_image(self._pixels(images), normalize=True)

    @torch.inference_mode()
    def texts(self, texts: list[str]) -> torch.Tensor:
        """Unit text embeddings float32 [n, d]."""
        return self.model.encode_text(self.tokenizer(texts), normalize=True)

    @torch.inference_mode()
    def patches(self, images: list[Image.Image]) -> torch.Tensor:
        """Unit dense features float32 [n, grid, grid, d]: in the last block every token attends
        only to itself (MaskCLIP, arXiv 2112.01071)."""
        visual = self.model.visual
        x = visual._embeds(self._pixels(images))
        for block in visual.transformer.resblocks[:-1]:
            x = block(x)
        mask = torch.full((x.shape[1], x.shape[1]), -torch.inf).fill_diagonal_(0)
        x = visual.ln_post(visual.transformer.resblocks[-1](x, attn_mask=mask))
        return F.normalize(x[:, 1:] @ visual.proj, dim=-1).unflatten(1, visual.grid_size)

    def _pixels(self, images: list[Image.Image]) -> torch.Tensor:
        return torch.stack([self.preprocess(image) for image in images])


def recall_at_1(clip: Clip, examples: list[Example]) -> tuple[float, float]:
    """Share of pictures whose nearest caption is their own, and of captions likewise."""
    similar = (
        clip.images([e.image for e in examples]) @ clip.texts([e.scene.prompt for e in examples]).T
    )
    own = torch.arange(len(examples))
    return (
        (similar.argmax(1) == own).float().mean().item(),
        (similar.argmax(0) == own).float().mean().item(),
    )


def crop_accuracy(clip: Clip, examples: list[Example]) -> float:
    """Share of cut-out objects (true box, margin 10 %) nearest to their own of all phrases."""
    phrases = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    crops, truth = [], []
    for example in examples:
        width, height = example.image.size
        for item in example.scene.objects:
            x0, y0, x1, y1 = item.box
            m = 0.1 * (x1 - x0)
            box = ((x0 - m) * width, (y0 - m) * height, (x1 + m) * width, (y1 + m) * height)
            limits = (0, 0, 0, 0), (width, height, width, height)
            crops.append(example.image.crop(tuple(np.clip(np.round(box), *limits).astype(int))))
            truth.append(phrases.index(item.phrase))
    nearest = (clip.images(crops) @ clip.texts(phrases).T).argmax(1)
    return (nearest == torch.tensor(truth)).float().mean().item()


def centre_rate(clip: Clip, examples: list[Example], threshold: float = 0.75) -> float:
    """Share of true phrases whose region, found by pipeline.models.clip.patches on the dense
    features,
    has its centre in the object's true box."""
    hits = total = 0
    for start in range(0, len(examples), 100):
        some = examples[start : start + 100]
        features = clip.patches([e.image for e in some])
        for example, feature in zip(some, features, strict=True):
            texts = clip.texts([o.phrase for o in example.scene.objects]).numpy()
            grid = tuple(feature.shape[:2])
            cosines = feature.flatten(0, 1).numpy() @ texts.T
            boxes, _ = grounder.patches(cosines, grid, threshold)
            for found, item in zip(boxes, example.scene.objects, strict=True):
                x, y = (found[0] + found[2]) / 2, (found[1] + found[3]) / 2
                x0, y0, x1, y1 = item.box
                hits += bool(x0 <= x <= x1 and y0 <= y <= y1)
                total += 1
    return hits / total
