"""Writes the bundled corpus: JPEG files in ForenSynths layout, and their ground truth as Parquet.

`OUT/corpus/{train,test}/FAMILY/{0_real,1_fake}/NNNNNN.jpg` and `OUT/scenes.parquet`. Real and fake
pass through the same `encode_jpeg`: sizes and qualities are drawn alike for both.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.demo.generators import CONDITIONED, FAKES, FAMILIES, prompt_seeds
from pipeline.demo.scenes import Scene, encode_jpeg, render, sample_scene
from pipeline.errors import UserError

FIRST_REAL_SEED = 3_000_000
FIRST_FAKE_ENCODING = 5_000_000  # seeds of `encode_jpeg`; a real picture's is its scene's seed
REALS = {"train": 188, "test": 187}  # a family
SPLITS = {"train": FAKES // 2, "test": FAKES - FAKES // 2}  # fakes a family

OBJECT = pa.struct(
    [
        ("colour", pa.string()),
        ("shape", pa.string()),
        ("phrase", pa.string()),
        *((side, pa.float32()) for side in ("x0", "y0", "x1", "y1")),
    ]
)
TRUTH_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),  # relative to the corpus root
        ("label", pa.int8()),  # 0 real, 1 fake
        ("generator", pa.string()),
        ("split", pa.string()),
        ("prompt", pa.string()),  # null: an unconditional fake
        ("objects", pa.list_(OBJECT)),  # null: a fake, for nobody knows; boxes are fractions
        ("background", pa.string()),
        ("texture", pa.string()),
        ("seed", pa.int64()),  # of the scene drawn, or of the scene that lent the prompt
    ]
)


@dataclass(frozen=True)
class Picture:
    """One file to be: `image` uint8 [64, 64, 3], `scene` drawn or lent its prompt, if any."""

    image: np.ndarray
    label: int
    family: str
    split: str
    number: int
    scene: Scene | None
    encoding: int

    @property
    def uri(self) -> str:
        """Path below the corpus root."""
        folder = ("0_real", "1_fake")[self.label]
        return f"{self.split}/{self.family}/{folder}/{self.number:06d}.jpg"

    @property
    def truth(self) -> dict:
        """The row of TRUTH_SCHEMA."""
        scene, real = self.scene, self.label == 0
        return {
            "uri": self.uri,
            "label": self.label,
            "generator": self.family,
            "split": self.split,
            "prompt": scene.prompt if scene else None,
            "objects": _objects(scene) if real else None,
            "background": scene.background if real else None,
            "texture": scene.texture if real else None,
            "seed": scene.seed if scene else None,
        }


def _objects(scene: Scene) -> list[dict]:
    return [
        {"colour": o.colour, "shape": o.shape, "phrase": o.phrase}
        | dict(zip(("x0", "y0", "x1", "y1"), o.box, strict=True))
        for o in scene.objects
    ]


def real_pictures() -> Iterator[Picture]:
    """The real half: every scene once, seeds counted up from FIRST_REAL_SEED."""
    seed = FIRST_REAL_SEED
    for family in FAMILIES:
        for split, count in REALS.items():
            for number in range(count):
                scene = sample_scene(seed)
                yield Picture(render(scene), 0, family, split, number, scene, seed)
                seed += 1


def fake_pictures(samples: dict[str, np.ndarray]) -> Iterator[Picture]:
    """The generated half; `samples` holds uint8 [FAKES, 64, 64, 3] of every family."""
    encoding = FIRST_FAKE_ENCODING
    for family in FAMILIES:
        seeds, images = iter(prompt_seeds(family)), iter(samples[family])
        for split, count in SPLITS.items():
            for number in range(count):
                seed, image = next(seeds), next(images)
                scene = sample_scene(seed) if family in CONDITIONED else None
                yield Picture(image, 1, family, split, number, scene, encoding)
                encoding += 1


def write_corpus(samples: dict[str, np.ndarray], out: Path) -> pa.Table:
    """Writes `out`/corpus and `out`/scenes.parquet anew and returns the ground truth.

    The finished corpus takes its place by a rename, so a run that is stopped leaves the old one.
    UserError if two files would hold the same bytes.
    """
    partial, final = out / "corpus.partial", out / "corpus"
    if partial.exists():
        shutil.rmtree(partial)
    rows, seen = [], {}
    for picture in (*real_pictures(), *fake_pictures(samples)):
        data = encode_jpeg(picture.image, picture.encoding)
        if data in seen:
            raise UserError(
                "two pictures of the corpus hold the same bytes",
                where=f"{seen[data]} and {picture.uri}",
                hint="the generator repeats itself; train it longer or with another seed",
            )
        seen[data] = picture.uri
        path = partial / picture.uri
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append(picture.truth)
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["uri"]), schema=TRUTH_SCHEMA)
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    pq.write_table(table, out / "scenes.parquet", compression="zstd")
    return table


def build(work: Path, out: Path) -> Path:
    """Writes the corpus from the sampled pictures in `work`; returns the path of its truth."""
    samples = {}
    for family in FAMILIES:
        with np.load(work / family / "samples.npz", allow_pickle=False) as file:
            samples[family] = file["images"]
    write_corpus(samples, out)
    return out / "scenes.parquet"
