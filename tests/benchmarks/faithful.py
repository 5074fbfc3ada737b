"""Are the cached features what open_clip, transformers and spaCy say, called directly?

    python -m tests.benchmarks.faithful --images DIR -n 64 --models bundled
    python -m tests.benchmarks.faithful --images DIR -n 64 --models full --checkpoints FOLDER

Writes a DAG file, runs it with `python -m pipeline run` into a temporary store, and computes the
same from the image files without a line of the pipeline (`direct.py`): one image or text at a time,
in float32. `bundled` takes the demo's models; `full` takes ViT-B-32, ViT-L-14 and BLIP base at
their real sizes with random weights (`full_size.py` builds them below FOLDER), for many minutes;
`--clip`, `--captioner` and `--beams` choose some of them.

Vectors are stored as float16. `cosine` compares after rounding the direct vector to float16 as
well; `cosine, unrounded` compares what is stored with the direct float32 vector. Where an object
is, and which words of a caption are its phrase, are choices of the pipeline's own: boxes are read
from the store; the phrases must be spaCy's nouns with their modifiers, and those that the written
rule reads from spaCy's tags of each caption alone. Ends with status 1 when a figure is worse than
asked.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks import direct, full_size, outside

FP32, BF16 = 0.99999, 0.999
Row = tuple[str, str, str, str, bool]  # what, how many, figure, asked, good


@dataclass(frozen=True)
class Models:
    """Folders of the models, CLIPs by name; the beams to caption with, and the longest caption."""

    clips: dict[str, Path]
    captioner: Path
    parser: Path
    longest: int
    beams: list[int]

    @property
    def captions(self) -> dict[str, int]:
        """The caption nodes and their beams; the first is called `captions` and is parsed."""
        return {"captions" if i == 0 else f"captions_{n}": n for i, n in enumerate(self.beams)}

    @property
    def first(self) -> tuple[str, Path]:
        """The CLIP that objects are cut out for and embedded with."""
        return next(iter(self.clips.items()))


def nodes(models: Models) -> dict[str, dict]:
    """Every stage that runs a model."""
    wired: dict[str, dict] = {
        name: outside.captioner(models.captioner, num_beams=beams, max_new_tokens=models.longest)
        for name, beams in models.captions.items()
    }
    wired["objects"] = {"stage": "parse", "captions": "captions", "model": str(models.parser)}
    first = outside.clip(models.first[1])
    places = {"images": "images", "objects": "objects"}
    wired["regions"] = {"stage": "ground", **places, "method": "patches", "clip": first}
    wired["objects_embedded"] = {
        "stage": "embed_objects",
        "images": "images",
        "regions": "regions",
        "clip": first,
    }
    texts = {"stage": "embed_texts", "captions": "captions", "objects": "objects"}
    for name, folder in models.clips.items():
        for precision in ("fp32", "bf16"):
            clip = outside.clip(folder, precision=precision)
            pictures = {"stage": "embed_images", "images": "images", "clip": clip}
            wired[f"image_{name}_{precision}"] = pictures
            wired[f"text_{name}_{precision}"] = {**texts, "clip": clip}
    return wired


class Stored:
    """The tables of a store, as rows."""

    def __init__(self, store: Path):
        self.store = store
        self.uris = {row["image_id"]: row["uri"] for row in self.rows("listing")}

    def rows(self, node: str) -> list[dict[str, Any]]:
        """All rows of a node."""
        return outside.table(self.store, node).to_pylist()

    def pictures(self, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Any]]:
        """Each row with its image, opened once for all rows of one image that stand together."""
        last, image = None, None
        for row in rows:
            if row["image_id"] != last:
                last, image = row["image_id"], direct.upright(self.uris[row["image_id"]])
            yield row, image


class Cosines:
    """Stored vectors against direct ones: the worst of each cosine."""

    def __init__(self) -> None:
        self.stored: list[np.ndarray] = []
        self.again: list[np.ndarray] = []
        self.missing = 0

    def add(self, stored: list[float] | None, again: np.ndarray) -> None:
        """One pair; a null where the libraries do give a vector counts as missing."""
        if stored is None:
            self.missing += 1
        else:
            self.stored.append(np.float64(stored))
            self.again.append(again)

    def rows(self, what: str, asked: float) -> list[Row]:
        """The figures of this comparison."""
        if not self.stored or self.missing:
            count = f"{self.missing} of {self.missing + len(self.stored)} missing"
            return [(what, count, "none", f">= {asked}", False)]
        stored, again = np.stack(self.stored), np.stack(self.again)
        rounded = _cosine(stored, again.astype(np.float16).astype(np.float64)).min()
        raw = _cosine(stored, again).min()
        lengths = np.linalg.norm(again, axis=1)
        others = (stored / np.linalg.norm(stored, axis=1)[:, None]) @ (again / lengths[:, None]).T
        strangers = float(others[~np.eye(len(others), dtype=bool)].mean())
        count = str(len(stored))
        return [
            (f"{what}: cosine", count, f"{rounded:.7f}", f">= {asked}", rounded >= asked),
            (f"{what}: cosine, unrounded", count, f"{raw:.7f}", f">= {asked}", raw >= asked),
            (f"{what}: mean cosine to another row", count, f"{strangers:.3f}", "", True),
        ]


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def embeddings(stored: Stored, name: str, folder: Path) -> Iterator[Row]:
    """Images and texts of one CLIP, in both precisions, against the direct float32 vectors."""
    clip = direct.Clip(folder)
    images = {r["image_id"]: clip.image(p) for r, p in stored.pictures(stored.rows("images"))}
    texts: dict[str, np.ndarray] = {}
    for precision, asked in (("fp32", FP32), ("bf16", BF16)):
        found: dict[str, Cosines] = defaultdict(Cosines)
        for row in stored.rows(f"image_{name}_{precision}"):
            found["images"].add(row["embedding"], images[row["image_id"]])
        for row in stored.rows(f"text_{name}_{precision}"):
            if row["text"] not in texts:
                texts[row["text"]] = clip.text(row["text"])
            found["texts"].add(row["embedding"], texts[row["text"]])
        for kind, cosines in found.items():
            yield from cosines.rows(f"{name} {precision}, {kind}", asked)


def objects(stored: Stored, name: str, folder: Path) -> Iterator[Row]:
    """The regions, cut out and embedded."""
    clip, found = direct.Clip(folder), Cosines()
    boxes = {(row["image_id"], row["object_no"]): row for row in stored.rows("regions")}
    named = [row for row in stored.rows("objects_embedded") if row["object_no"] is not None]
    for row, image in stored.pictures(named):
        box = boxes[row["image_id"], row["object_no"]]
        found.add(row["embedding"], clip.region(direct.cut(image, box)))
    yield from found.rows(f"{name} fp32, regions", FP32)


def captions(stored: Stored, models: Models) -> Iterator[Row]:
    """Captions to the letter; a caption without a word is a failed row and nothing else is."""
    blip = direct.Captioner(models.captioner)
    for node, beams in models.captions.items():
        rows = stored.rows(node)
        same, texts = 0, set()
        for row, image in stored.pictures(rows):
            again = blip.caption(image, beams, models.longest)
            texts.add(again)
            if (row["caption"] or "") == again:
                same += 1
            else:
                print(f"{node} {row['image_id']}: {row['caption']!r}, directly {again!r}")
        what = f"captions, {'greedy' if beams == 1 else f'{beams} beams'}"
        count = f"{len(rows)}, {len(texts)} different"
        yield f"{what}: equal to the letter", count, str(same), str(len(rows)), same == len(rows)


def phrases(stored: Stored, folder: Path) -> Iterator[Row]:
    """Noun phrases against spaCy's own tags and lemmas."""
    from pipeline.models.parser.noun_phrases import find_phrases  # the rule alone, no model
    from pipeline.models.parser.words import Word

    parser = direct.Parser(folder)
    of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in stored.rows("objects"):
        if row["object_no"] is not None:
            of[row["image_id"]].append(row)
    written = {r["image_id"]: r["caption"] for r in stored.rows("captions") if r["caption"]}
    good = sum(parser.reads(written[key], row) for key, rows in of.items() for row in rows)
    total = sum(map(len, of.values()))
    yield "phrases: nouns with modifiers", str(total), str(good), str(total), good == total > 0
    same = 0
    for key, caption in written.items():
        expected = find_phrases(caption, [Word(*word) for word in parser.words(caption)])
        rows = [(r["phrase"], r["head"], r["start"], r["end"]) for r in of[key]]
        same += rows == [(p.phrase, p.head, p.start, p.end) for p in expected]
    count = str(len(written))
    yield "phrases: all of each caption equal", count, str(same), count, same == len(written) > 0


def chosen(options: argparse.Namespace, work: Path) -> Models:
    """The models asked for, built where they are not there yet."""
    bundled = outside.MODELS
    full = options.models == "full"
    clips = options.clip or (full_size.CLIPS if full else ["bundled"])
    captioner = options.captioner or ("blip-base" if full else "bundled")
    wanted = tuple(name for name in (*clips, captioner) if name != "bundled")
    built = full_size.build(options.checkpoints or work / "checkpoints", wanted)
    return Models(
        {name: built.get(name, bundled / "clip") for name in clips},
        built.get(captioner, bundled / "captioner"),
        bundled / "parser",
        longest=40 if captioner == "bundled" else 10,  # a step of 384 px and 223 M weights is slow
        beams=options.beams,
    )


def compare(options: argparse.Namespace, work: Path) -> list[Row]:
    """Runs the pipeline in `work`, then everything again directly."""
    models = chosen(options, work)
    corpus = {"root": str(options.images.resolve()), "layout": options.layout, "limit": options.n}
    # a random captioner may write nothing at all about some image
    share = 0.0 if models.captioner.name == "captioner" else 1.0
    dag = work / "faithful.yaml"
    outside.write_dag(dag, {**corpus, "part_size": 24}, nodes(models), share)
    started = time.monotonic()
    workers = ("--workers", options.workers) if options.workers else ()
    answer = outside.item("run", dag, *workers, "--store", work / "store", cwd=work)
    if answer.returncode != 0:
        sys.exit(f"item run ended with {answer.returncode}\n{answer.stdout}\n{answer.stderr}")
    print(f"item run: {time.monotonic() - started:.0f} s", flush=True)
    stored = Stored(work / "store")
    rows: list[Row] = []
    for part in (
        captions(stored, models),
        phrases(stored, models.parser),
        objects(stored, *models.first),
        *(embeddings(stored, name, folder) for name, folder in models.clips.items()),
    ):
        rows += part
    print(f"with the direct calls: {time.monotonic() - started:.0f} s")
    return rows


def main() -> None:
    """Prints one table; exit status 1 when a figure is worse than asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--layout", default="forensynths")
    parser.add_argument("-n", type=int, default=64, help="images, evenly spread over the folder")
    parser.add_argument("--models", choices=("bundled", "full"), default="bundled")
    parser.add_argument("--clip", action="append", choices=("bundled", *full_size.CLIPS))
    parser.add_argument("--captioner", choices=("bundled", *full_size.BLIPS))
    parser.add_argument("--beams", type=int, nargs="+", default=[3, 1])
    parser.add_argument("--checkpoints", type=Path, help="where full-size models are, or go")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--threads", type=int, default=1, help="of the direct calls")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(options, Path(folder))
    print(f"{'what':48} {'of':>18} {'found':>10} asked")
    for what, count, figure, asked, good in rows:
        print(f"{what:48} {count:>18} {figure:>10} {asked:10} {'' if good else 'NO'}".rstrip())
    if not all(good for *_, good in rows):
        sys.exit("not faithful")


if __name__ == "__main__":
    main()
