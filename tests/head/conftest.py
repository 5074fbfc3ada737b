"""Small stores of known content for the head: real Parquet parts behind the real connection."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pipeline import tables
from pipeline.query.questions import connect
from pipeline.store.parts import write_part


@dataclass
class Content:
    """A listing and the features of its images, as columns that a test changes before writing.

    By default three generators, 24 real and 24 fake images a generator and split. Fakes are shifted
    in `global` (each component by `shift` standard deviations), in the embeddings, and in the
    cosine; `local` is noise. Every eighth image has no objects, the others have two, with phrases
    and regions that are noise; the second object of every ninth image failed. Captions (six, each
    embedded once a part) and the files' facts are noise. Vectors of the features and of the
    embeddings have nothing to do with each other; lengths (`norm`) lie between 2 and 6.
    """

    width: int = 8
    shift: float = 6.0
    num: int = 24
    seed: int = 0
    generators: tuple[str, ...] = ("gan", "vae", "flow")
    listing: dict[str, list] = field(default_factory=dict)
    features: dict[str, object] = field(default_factory=dict)
    images: dict[str, list] = field(default_factory=dict)
    captions: dict[str, list] = field(default_factory=dict)
    texts: dict[str, np.ndarray] = field(default_factory=dict)  # text -> its embedding
    objects: dict[str, object] = field(default_factory=dict)  # a row an object, with its region

    def __post_init__(self):
        rows = [
            (generator, split, label)
            for generator in self.generators
            for split in ("train", "test")
            for label in (0, 1)
            for _ in range(self.num)
        ]
        n = len(rows)
        ids = [f"{number:032x}" for number in range(n)]
        self.listing = {
            "uri": [f"file:///corpus/{i}.jpg" for i in ids],
            "image_id": list(ids),
            "label": [label for _, _, label in rows],
            "generator": [generator for generator, _, _ in rows],
            "dataset": ["made"] * n,
            "split": [split for _, split, _ in rows],
            "error": [None] * n,
        }
        rng = np.random.default_rng(self.seed)
        fake = np.array(self.listing["label"])
        shifted = rng.standard_normal((n, self.width)) + self.shift * fake[:, None]
        self.features = {
            "image_id": list(ids),
            "global": shifted * 0.1,
            "local": rng.standard_normal((n, self.width)) * 0.1,
            "embedding": shifted * 0.1,
            "norm": np.linspace(4, 6, n).tolist(),
            "num_objects": [0 if i % 8 == 0 else 2 for i in range(n)],
            "cosine_global": (0.3 - 0.05 * fake + 0.01 * rng.standard_normal(n)).tolist(),
            "distance_global": np.linspace(1, 1.3, n).tolist(),
            "cosine_local": [None if i % 8 == 0 else 0.25 for i in range(n)],
            "distance_local": [None if i % 8 == 0 else 1.2 for i in range(n)],
            "error": [None] * n,
        }
        self.images = {
            "image_id": list(ids),
            "variant": ["clean"] * n,
            "bytes": rng.integers(2_000, 4_000, n).tolist(),
            "width": rng.integers(60, 70, n).tolist(),
            "height": [64] * n,
            "format": ["JPEG"] * n,
            "jpeg_quality": rng.integers(80, 95, n).tolist(),
        }
        self.texts = {f"scene {i}": rng.standard_normal(self.width) * 0.1 for i in range(6)}
        chosen = rng.integers(len(self.texts), size=n)
        self.captions = {"image_id": list(ids), "caption": [f"scene {i}" for i in chosen]}
        named = [(i, number) for i in range(n) for number in (0, 1) if i % 8]
        self.texts |= {f"thing {i}": rng.standard_normal(self.width) for i in range(5)}
        self.objects = {
            "image_id": [ids[i] for i, _ in named],
            "object_no": [number for _, number in named],
            "phrase": [f"thing {i}" for i in rng.integers(5, size=len(named))],
            "embedding": rng.standard_normal((len(named), self.width)),
            "norm": np.linspace(2, 4, len(named)).tolist(),
            "error": ["no region" if i % 9 == 0 and number else None for i, number in named],
        }

    def perturb(self, variant: str, split: str = "test", scale: float = 0.0) -> None:
        """Adds the split's images in a variant; their vectors move by `scale` times noise."""
        splits = zip(self.listing["image_id"], self.listing["split"], strict=True)
        rows = [number for number, (_, own) in enumerate(splits) if own == split]
        rng = np.random.default_rng(len(variant))
        for table in (self.features, self.images, self.captions):
            for name, values in table.items():
                more = [values[row] for row in rows]
                if name == "image_id":
                    more = [f"{image_id}-{variant}" for image_id in more]
                if isinstance(values, np.ndarray):
                    more = np.array(more) + scale * rng.standard_normal((len(rows), self.width))
                    table[name] = np.concatenate([values, more])
                else:
                    table[name] = [*values, *more]
        self.images["variant"][-len(rows) :] = [variant] * len(rows)

    def write(self, folder: Path, parts: int = 2) -> dict[str, tuple[str, list[Path]]]:
        """Writes the parts; returns what `pipeline.query.questions.connect` takes."""
        made = self.features
        failed = np.array([error is not None for error in made["error"]])
        objects = np.array(made["num_objects"]) > 0
        features = {
            "image_id": made["image_id"],
            "global": tables.vectors(made["global"], ~failed),
            "local": tables.vectors(made["local"], ~failed & objects),
            "num_objects": made["num_objects"],
            **{name: made[name] for name in ("cosine_global", "distance_global")},
            **{name: made[name] for name in ("cosine_local", "distance_local")},
            "error": made["error"],
        }
        embeddings = {
            "image_id": made["image_id"],
            "embedding": tables.vectors(made["embedding"], ~failed),
            "norm": made["norm"],
            "error": made["error"],
        }
        found = np.array([error is None for error in self.objects["error"]])
        keys = {name: self.objects[name] for name in ("image_id", "object_no")}
        regions = {
            **keys,
            "embedding": tables.vectors(self.objects["embedding"], found),
            "norm": self.objects["norm"],
            "error": self.objects["error"],
        }
        vectors = np.tile(list(self.texts.values()), (parts, 1))
        texts = {
            "text_id": [f"{i:032x}" for i in range(len(self.texts))] * parts,
            "text": list(self.texts) * parts,
            "embedding": tables.vectors(vectors, np.ones(len(vectors), bool)),
            "norm": [3.0] * len(vectors),
        }
        out = {}
        for name, columns in {
            "listing": self.listing,
            "images": self.images,
            "captions": self.captions,
            "text_embeddings": texts,
            "features": features,
            "image_embeddings": embeddings,
            "objects": {**keys, "phrase": self.objects["phrase"]},
            "object_embeddings": regions,
        }.items():
            width = self.width if "embedding" in tables.COLUMNS[name].values() else None
            table = tables.build(name, columns, width)
            paths = []
            for part in range(parts):
                size = -(-table.num_rows // parts)
                paths.append(folder / name / f"part-{part:05d}.parquet")
                paths[-1].parent.mkdir(parents=True, exist_ok=True)
                write_part(paths[-1], table.slice(part * size, size), {})
            out[name] = (name, paths)
        return out


@pytest.fixture
def content() -> Callable[..., Content]:
    return Content


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., object]:
    """Writes a content and connects to it, as a DAG does that makes all tables or some."""

    def written(content: Content, made: Collection[str] | None = None) -> object:
        parts = content.write(tmp_path / "store")
        return connect({name: parts[name] for name in parts if made is None or name in made})

    return written
