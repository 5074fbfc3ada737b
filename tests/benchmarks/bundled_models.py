"""Prints the figures of the bundled models on scenes held out from training, with their targets.

    python -m tests.benchmarks.bundled_models [--models DIR] [--treebank DIR]

The parser's accuracy needs the test part of UD English EWT; without `--treebank` only its figures
on scene captions are printed.
"""

import argparse
import time
from pathlib import Path

import torch

from pipeline.demo.measure import (
    Clip,
    caption_scores,
    centre_rate,
    crop_accuracy,
    held_out,
    recall_at_1,
)
from tests.benchmarks.bundled_parser import parser_rows

MODELS = Path(__file__).resolve().parents[2] / "data" / "demo" / "models"

Row = tuple[str, str, float, float]  # what, on what, figure, the least that it should be


def captioner_rows(folder: Path, count: int = 1000) -> list[Row]:
    """Greedy captions against the truth."""
    scores = caption_scores(folder, held_out(count))
    scenes = f"{count} held-out scenes"
    return [
        ("captioner: pairs, micro F1", scenes, scores.f1, 0.90),
        ("captioner: background", scenes, scores.background, 0.0),
        ("captioner: whole caption", scenes, scores.exact, 0.0),
    ]


def clip_rows(folder: Path, count: int = 500) -> list[Row]:
    """Retrieval among distinct captions, cut-out objects, and where phrases are found."""
    clip, scenes = Clip(folder), held_out(count)
    distinct = held_out(count, distinct=True)
    to_text, to_image = recall_at_1(clip, distinct)
    captions = f"{count} distinct captions"
    objects = f"objects of {count} scenes"
    return [
        ("CLIP: R@1, image to text", captions, to_text, 0.85),
        ("CLIP: R@1, text to image", captions, to_image, 0.0),
        ("CLIP: crop to phrase of 42", objects, crop_accuracy(clip, scenes), 0.0),
        ("CLIP: region centre in box", objects, centre_rate(clip, scenes), 0.80),
    ]


def main() -> None:
    """Prints one table; exit status 1 when a figure is below its target."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--models", type=Path, default=MODELS)
    arguments.add_argument("--treebank", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    rows = captioner_rows(options.models / "captioner")
    rows += clip_rows(options.models / "clip")
    for what, where, figure, target in parser_rows(options.models / "parser", options.treebank):
        rows.append((f"parser: {what}", where, figure, target))
    for what, where, figure, target in rows:
        aim = f"(at least {target})" if target else ""
        print(f"{what:30} {where:36} {figure:.4f} {aim}")
    print(f"measured in {time.monotonic() - started:.0f} s")
    if any(figure < target for _, _, figure, target in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
