"""Images a second of a CLIP's image tower, and captions of a BLIP, by precision: on this processor.

    python -m tests.benchmarks.precisions [--checkpoints FOLDER] [--only ViT-B-32 blip-base ...]

One process with one thread, as a worker is, batches of 16 prepared images, no decoding. bf16, and
what torch.compile makes of the tower, are given as ratios to fp32 of the same rounds, in turns. Of
compiling it is said how long it takes, and how many images pay for that. Public sizes have random
weights (`full_size`), which compute as long as trained ones.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.models.captioners.captioner import CaptionerSpec
from pipeline.models.captioners.generation import Generation
from pipeline.models.clip.clip import ClipSpec
from tests.benchmarks import full_size, outside

BATCH = 16  # images: `auto` on a processor
CLIPS = {"fp32": {}, "bf16": {"precision": "bf16"}}
CLIPS["fp32, compiled"] = {"compile": True}
CLIPS["bf16, compiled"] = {"precision": "bf16", "compile": True}
CAPTIONERS = {name: CLIPS[name] for name in ("fp32", "bf16")}


def of_clip(folder: Path, settings: dict[str, Any]) -> Callable[[], Any]:
    """One batch through the image tower."""
    clip = ClipSpec(model=f"local-dir:{folder}", device="cpu", **settings).load()
    high, wide = clip.image_size
    batch = list(_pixels(high, wide))
    return lambda: clip.encode_images(batch).float().sum().item()


def of_captioner(folder: Path, settings: dict[str, Any]) -> Callable[[], Any]:
    """One batch of captions, 3 beams, 20 tokens at most."""
    captioner = CaptionerSpec(model=str(folder), device="cpu", **settings).load()
    side = captioner.processor.image_processor.size["height"]
    batch, how = list(_pixels(side, side)), Generation(num_beams=3, max_new_tokens=20)
    return lambda: captioner.caption(batch, how)


def _pixels(high: int, wide: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH, high, wide, 3), dtype=np.uint8)


def measure(name: str, works: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Prints a row for each of `works`: rate, ratio to fp32's, what its first batch took longer."""
    firsts = {what: _seconds(work) for what, work in works.items()}
    taken: dict[str, list[float]] = {what: [] for what in works}
    for _ in range(rounds):
        for what, work in works.items():
            taken[what].append(_seconds(work))
    for what, seconds in taken.items():
        each = statistics.median(seconds)
        ratio = statistics.median(a / b for a, b in zip(taken["fp32"], seconds, strict=True))
        plain = statistics.median(taken[what.removesuffix(", compiled")])
        start, gain = firsts[what] - each, (plain - each) / BATCH
        pays = f", paid for by {start / gain:,.0f} images" if gain > 0 else ", never paid for"
        note = f"first batch +{start:.0f} s{pays}" if "compiled" in what else ""
        print(f"{name:22} {what:16} {BATCH / each:9.2f} {ratio:6.2f}  {note}", flush=True)


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(words: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = ("bundled CLIP", "bundled captioner", *full_size.NAMES)
    parser.add_argument("--only", nargs="*", choices=names, default=[*names[:2], "ViT-B-32"])
    parser.add_argument("--checkpoints", type=Path, help="where full-size models are, or go")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    print(f"{'model':22} {'precision':16} {'images/s':>9} {'fp32':>6}")
    with tempfile.TemporaryDirectory() as name:
        place = options.checkpoints or Path(name)
        built = full_size.build(place, tuple(n for n in options.only if n in full_size.NAMES))
        folders = {names[0]: outside.MODELS / "clip", names[1]: outside.MODELS / "captioner"}
        for one in options.only:
            captions = one in full_size.BLIPS or one == names[1]
            make, settings = (of_captioner, CAPTIONERS) if captions else (of_clip, CLIPS)
            folder = {**folders, **built}[one]
            works = {what: make(folder, how) for what, how in settings.items()}
            measure(one, works, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
