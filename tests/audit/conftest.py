"""A made-up corpus in which nothing tells a label, as columns that a test changes before writing.

160 images of each label of each of two generators, half of them in each split. Formats, sizes,
bytes, qualities, tables, modes, EXIF, names and captions are drawn without the label; embeddings
are random directions of 16 numbers, of which no two are alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pipeline import tables
from pipeline.query.questions import connect
from pipeline.store.parts import write_part

WIDTH = 16
WORDS = ("red", "ball", "cube", "star", "on", "grass", "old", "wall", "two", "green")


@dataclass
class Corpus:
    """`listing` has a row a file, `captions` a row an image; `fake` is the label, int [n]."""

    num: int = 80
    seed: int = 0
    generators: tuple[str, ...] = ("gan", "vae")
    listing: dict[str, list] = field(default_factory=dict)
    captions: dict[str, list] = field(default_factory=dict)
    vectors: np.ndarray = field(default_factory=lambda: np.empty((0, WIDTH)))

    def __post_init__(self):
        rows = [
            (generator, split, label)
            for generator in self.generators
            for split in ("train", "test")
            for label in (0, 1)
            for _ in range(self.num)
        ]
        rng, n = np.random.default_rng(self.seed), len(rows)
        ids = [sha256(f"{self.seed} {row}".encode()).hexdigest()[:32] for row in range(n)]
        places = zip(rows, rng.permutation(n).tolist(), strict=True)
        jpeg = rng.random(n) < 0.6
        sizes = np.array([(256, 256), (512, 384), (640, 480), (300, 400)])[rng.integers(4, size=n)]
        quality = rng.integers(75, 96, n)
        self.listing = {
            "uri": [
                f"file:///corpus/{split}/{generator}/{('0_real', '1_fake')[label]}/{number:06d}.jpg"
                for (generator, split, label), number in places
            ],
            "image_id": ids,
            "label": [label for _, _, label in rows],
            "generator": [generator for generator, _, _ in rows],
            "split": [split for _, split, _ in rows],
            "bytes": rng.integers(20_000, 90_000, n).tolist(),
            "width": sizes[:, 0].tolist(),
            "height": sizes[:, 1].tolist(),
            "format": np.where(jpeg, "JPEG", "PNG").tolist(),
            "mode": np.where(rng.random(n) < 0.9, "RGB", "L").tolist(),
            "orientation": [1] * n,
            "jpeg_quality": [int(q) if j else None for q, j in zip(quality, jpeg, strict=True)],
            "jpeg_tables": [f"{q:016x}" if j else None for q, j in zip(quality, jpeg, strict=True)],
            "has_exif": (rng.random(n) < 0.3).tolist(),
            "error": [None] * n,
        }
        said = [" ".join(rng.choice(WORDS, 5, replace=False)) for _ in range(n)]
        self.captions = {"image_id": list(ids), "caption": said}
        self.vectors = rng.standard_normal((n, WIDTH))

    @property
    def fake(self) -> np.ndarray:
        return np.array(self.listing["label"])

    def of(self, generator: str) -> np.ndarray:
        """bool [n]: the files of a generator."""
        return np.array(self.listing["generator"]) == generator

    def where(self, column: str, mask: np.ndarray, value: object) -> None:
        """Gives a column of the listing this value where the mask (bool [n]) is true."""
        for row in np.flatnonzero(mask):
            self.listing[column][row] = value

    def repeat(self, row: int, **changes: object) -> None:
        """One more file with the bytes of a row's."""
        for name, values in self.listing.items():
            values.append(changes.get(name, values[row]))
        self.listing["uri"][-1] += "-again"

    def write(self, folder: Path, parts: int = 2) -> dict[str, tuple[str, list[Path]]]:
        """Writes the parts; returns what `pipeline.query.questions.connect` takes."""
        ids = self.captions["image_id"]  # parts keep their images, listed or not
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        embeddings = {
            "image_id": ids,
            "embedding": tables.vectors(unit),
            "norm": [1.0] * len(unit),
        }
        found = {
            "listing": tables.build("listing", self.listing),
            "images": tables.build("images", {"image_id": ids, "variant": ["clean"] * len(ids)}),
            "captions": tables.build("captions", self.captions),
            "image_embeddings": tables.build("image_embeddings", embeddings, WIDTH),
        }
        out = {}
        for name, table in found.items():
            paths, size = [], -(-len(table) // parts)
            for part in range(parts):
                paths.append(folder / name / f"part-{part:05d}.parquet")
                paths[-1].parent.mkdir(parents=True, exist_ok=True)
                write_part(paths[-1], table.slice(part * size, size), {})
            out[name] = (name, paths)
        return {**out, "features": ("features", [])}


@pytest.fixture
def corpus() -> Callable[..., Corpus]:
    return Corpus


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Corpus], object]:
    """Writes a corpus and connects to it."""
    return lambda corpus: connect(corpus.write(tmp_path / "store"))
