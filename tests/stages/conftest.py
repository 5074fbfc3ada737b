"""Image files with the `images` table over them, and models whose answers can be worked out."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from pipeline import tables
from pipeline.models.captioners.captioner import Caption
from tests.helpers.images import images_table

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
TEXTS = {"red": (1, 0, 0, 1), "green": (0, 1, 0, 1), "blue": (0, 0, 1, 1)}


class ColourClip:
    """Embeds an image as its mean (r, g, b) in 0..1 and a 1; a text as the colours it names.

    Black images and the text `nothing` have no finite embedding. `batches` keeps the sizes.
    """

    width = 4
    image_size = (4, 4)
    device = torch.device("cpu")

    def __init__(self):
        self.batches: list[int] = []

    def prepare(self, image):
        return image

    def fitted(self, fit):
        return self.prepare

    def encode_images(self, images):
        self.batches.append(len(images))
        means = np.float32([np.asarray(image).reshape(-1, 3).mean(0) / 255 for image in images])
        return _features(np.concatenate([means, np.ones((len(means), 1), np.float32)], 1), means)

    def encode_patches(self, images):
        small = [np.asarray(image.resize((4, 4), Image.Resampling.BOX)) for image in images]
        values = np.float32(small).reshape(len(images), 16, 3) / 255
        values = np.concatenate([values, np.full((len(images), 16, 1), 0.2, np.float32)], 2)
        return torch.from_numpy(values), (4, 4)

    def encode_texts(self, texts):
        self.batches.append(len(texts))
        none = (0, 0, 0, 0)
        values = np.float32(
            [np.sum([none, *(TEXTS.get(word, none) for word in t.split())], 0) for t in texts]
        )
        return _features(values, values), np.array([len(text) > 40 for text in texts])

    def visible(self, size):
        side = min(size)
        wide, high = side / size[0], side / size[1]
        return (0.5 - wide / 2, 0.5 - high / 2, 0.5 + wide / 2, 0.5 + high / 2)


def _features(values, black):
    """Float32 features [n, 4]; NaN where `black` is all zero."""
    values = np.where(black.any(1, keepdims=True), values, np.nan).astype(np.float32)
    return torch.from_numpy(values)


class ColourCaptioner:
    """Names the strongest colour; writes nothing about a black image."""

    def __init__(self):
        self.calls: list[tuple[int, int, int]] = []
        self.seeds: list[int] = []

    def prepare(self, image):
        return image

    def caption(self, images, generation, seeds=None):
        self.calls.append((len(images), generation.num_beams, generation.max_new_tokens))
        self.seeds += seeds or []
        answers = []
        for image in images:
            mean = np.asarray(image).reshape(-1, 3).mean(0)
            name = ("red", "green", "blue")[int(mean.argmax())] if mean.any() else ""
            answers.append(Caption(name, len(name), -0.5))
        return answers


@pytest.fixture
def clip() -> ColourClip:
    return ColourClip()


@pytest.fixture
def captioner() -> ColourCaptioner:
    return ColourCaptioner()


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., pa.Table]:
    """`images(red=picture, …)`: writes PNG files and gives their `images` table.

    A picture is a colour (a plain 8 x 8 image), a PIL image, or bytes written as they are.
    """

    def write(**pictures: object) -> pa.Table:
        rows = []
        for name, picture in pictures.items():
            path = tmp_path / f"{name}.png"
            if isinstance(picture, bytes):
                path.write_bytes(picture)
                size = (8, 8)
            else:
                drawn = Image.new("RGB", (8, 8), picture) if isinstance(picture, tuple) else picture
                drawn.save(path)
                size = drawn.size
            content = path.read_bytes()
            rows.append(
                {
                    "image_id": name,
                    "uri": str(path),
                    "bytes": len(content),
                    "width": size[0],
                    "height": size[1],
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "error": None,
                }
            )
        return images_table({name: [row[name] for row in rows] for name in rows[0]})

    return write


@pytest.fixture
def embedded() -> Callable[..., pa.Table]:
    """`embedded("image_embeddings", rows, width)`: rows as dicts with `embedding` lists or None."""

    def make(table: str, rows: list[dict], width: int) -> pa.Table:
        values = np.float32([row.get("embedding") or [0.0] * width for row in rows])
        valid = np.array([row.get("embedding") is not None for row in rows])
        names = [name for name in tables.COLUMNS[table] if name not in ("embedding", "norm")]
        columns = {name: [row.get(name) for row in rows] for name in names}
        columns["embedding"] = tables.vectors(values.reshape(len(rows), width), valid)
        return tables.build(table, columns, width)

    return make
