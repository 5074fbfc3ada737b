"""Training scenes as arrays: rendered, passed through JPEG as the corpus is, and cached on disk."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.demo.scenes import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    SIZE,
    TEXTURES,
    encode_jpeg,
    render_with_mask,
    sample_scene,
)

TRAIN_SEEDS = range(1_000_000, 1_024_000)
HELD_OUT_SEEDS = range(2_000_000, 2_001_500)
MAX_OBJECTS = 4
NUM_PAIRS = len(COLOURS) * len(SHAPES)
PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
PHRASES = tuple(f"{colour} {shape}" for colour, shape in PAIRS)


@dataclass(frozen=True)
class Pool:
    """Scenes of consecutive seeds; row i of every array is one scene.

    `images` uint8 [n, SIZE, SIZE, 3] as a model sees them after its own resizing; `masks` int8
    [n, SIZE, SIZE], object number or -1; `pairs` int64 [n, 4], index into PAIRS or -1; `boxes`
    float32 [n, 4, 4], fractions x0 y0 x1 y1; `backgrounds` and `textures` int64 [n]; `prompts` the
    true captions.
    """

    images: np.ndarray
    masks: np.ndarray
    pairs: np.ndarray
    boxes: np.ndarray
    backgrounds: np.ndarray
    textures: np.ndarray
    prompts: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def load_pool(work: Path, seeds: range) -> Pool:
    """The scenes of `seeds` (step 1), rendered on the first call, read from `work` afterwards."""
    path = work / f"pool-{seeds.start}-{len(seeds)}.npz"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        pairs = [render_with_mask(sample_scene(seed)) for seed in seeds]
        write_pool(path, seeds, np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]))
    with np.load(path, allow_pickle=False) as file:
        return Pool(**{name: file[name] for name in Pool.__dataclass_fields__})


def write_pool(path: Path, seeds: range, images: np.ndarray, masks: np.ndarray) -> None:
    """Writes the cache file of `seeds` from rendered `images` and `masks` (shapes as in Pool)."""
    count = len(seeds)
    pairs = np.full((count, MAX_OBJECTS), -1, np.int64)
    boxes = np.zeros((count, MAX_OBJECTS, 4), np.float32)
    backgrounds, textures = np.zeros(count, np.int64), np.zeros(count, np.int64)
    prompts = []
    for row, seed in enumerate(seeds):
        scene = sample_scene(seed)
        for number, item in enumerate(scene.objects):
            pairs[row, number] = PAIRS.index((item.colour, item.shape))
            boxes[row, number] = item.box
        backgrounds[row] = list(BACKGROUNDS).index(scene.background)
        textures[row] = TEXTURES.index(scene.texture)
        prompts.append(scene.prompt)
    seen = [through_jpeg(image, seed) for image, seed in zip(images, seeds, strict=True)]
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        images=np.stack(seen),
        masks=masks,
        pairs=pairs,
        boxes=boxes,
        backgrounds=backgrounds,
        textures=textures,
        prompts=np.array(prompts),
    )
    partial.replace(path)


def through_jpeg(image: np.ndarray, seed: int) -> np.ndarray:
    """`image` (uint8 [SIZE, SIZE, 3]) as read back from its JPEG file and resized to SIZE."""
    picture = Image.open(BytesIO(encode_jpeg(image, seed))).convert("RGB")
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
