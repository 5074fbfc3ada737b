"""Images a second of the stages on one GPU, against the bare model loop fed from GPU memory.

    python -m tests.benchmarks.gpu [--images 4096] [--captions 512] [--rounds 5]

ViT-L-14 image embeddings and BLIP-large captions (3 beams), bf16, weights random at the real sizes
(`full_size.py`). The stages read JPEG files, decode and transform them on the fly, and give their
Arrow tables; the bare loop has the same images as finished tensors in GPU memory and calls
`encode_image` or `generate` on the same batches, nothing else. Asked is at least 0.90 of its rate.
Without a GPU nothing is measured. `--device cpu --tiny` runs the same code with the bundled models.
"""

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from PIL import Image

from pipeline import models, tables
from pipeline.stages import get_stage
from tests.benchmarks import full_size, outside

ASKED = 0.90
SIZE = (512, 384)  # of the JPEG files: about what the public corpora hold
CORPUS = outside.MODELS.parent / "corpus"


@dataclass(frozen=True)
class Case:
    """One measurement: the stage's run, and the bare loop over the same images."""

    name: str
    images: int
    stage: Callable[[], pa.Table]
    bare: Callable[[], None]


def photographs(folder: Path, count: int) -> pa.Table:
    """JPEG files of SIZE with distinct content, and the table `images` over them."""
    files = sorted(CORPUS.rglob("*.jpg"))
    rows: dict[str, list[Any]] = {name: [] for name in ("image_id", "uri", "sha256")}
    for number in range(count):
        with Image.open(files[number % len(files)]) as image:
            larger = image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
        larger.putpixel((0, 0), (number % 256, number // 256 % 256, 0))
        path = folder / f"{number:06}.jpg"
        larger.save(path, quality=90, comment=str(number).encode())
        rows["uri"].append(str(path))
        rows["sha256"].append(hashlib.sha256(path.read_bytes()).hexdigest())
        rows["image_id"].append(rows["sha256"][-1][:32])
    sizes = {"width": [SIZE[0]] * count, "height": [SIZE[1]] * count}
    return tables.build("images", {**rows, **sizes})


def run_stage(name: str, images: pa.Table, parameters: dict[str, Any]) -> Callable[[], pa.Table]:
    """The stage as a task runs it: its models loaded once, then one part."""
    stage = get_stage(name)
    checked = stage.parameters(**parameters)
    loaded = [models.get(spec) for spec in stage.models(checked)]
    return lambda: stage.run({"images": images}, checked, loaded)


def embedding(folder: Path, images: pa.Table, batch: int, device: str, threads: int) -> Case:
    """`embed_images` against `encode_image`."""
    import open_clip

    clip = {"model": f"local-dir:{folder}", "precision": "bf16", "device": device}
    stage = run_stage(
        "embed_images", images, {"clip": clip, "batch_size": batch, "threads": threads}
    )
    model, preprocess = open_clip.create_model_from_pretrained(
        f"local-dir:{folder}", precision="bf16", device=device
    )
    model.eval()
    batches = _in_memory(images, preprocess, batch, device)

    def bare() -> None:
        with torch.inference_mode():
            for pixels in batches:
                model.encode_image(pixels)

    return Case(f"{folder.name}, embed_images", len(images), stage, bare)


def captioning(
    folder: Path, images: pa.Table, batch: int, device: str, threads: int, longest: int
) -> Case:
    """`caption` against `generate`, 3 beams."""
    from transformers import BlipForConditionalGeneration, BlipProcessor

    parameters = {"model": str(folder), "num_beams": 3, "max_new_tokens": longest}
    options = {"precision": "bf16", "device": device, "batch_size": batch, "threads": threads}
    stage = run_stage("caption", images, {**parameters, **options})
    model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16)
    model = model.to(device).eval()
    processor = BlipProcessor.from_pretrained(folder)

    def transform(image: Image.Image) -> torch.Tensor:
        return processor(images=image, return_tensors="pt")["pixel_values"][0]

    batches = _in_memory(images, transform, batch, device)

    def bare() -> None:
        with torch.inference_mode():
            for pixels in batches:
                model.generate(pixels, num_beams=3, max_new_tokens=longest, do_sample=False)

    return Case(f"{folder.name}, caption", len(images), stage, bare)


def _in_memory(
    images: pa.Table, transform: Callable[[Image.Image], torch.Tensor], batch: int, device: str
) -> list[torch.Tensor]:
    """The transformed images as bf16 batches on the device."""
    uris, batches = images["uri"].to_pylist(), []
    for first in range(0, len(uris), batch):
        pixels = []
        for uri in uris[first : first + batch]:
            with Image.open(uri) as image:
                pixels.append(transform(image.convert("RGB")))
        batches.append(torch.stack(pixels).to(device, torch.bfloat16))
    return batches


def seconds(work: Callable[[], Any], device: str) -> float:
    """Wall time of `work`, the device's own work included."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started


def measure(case: Case, rounds: int, device: str) -> float:
    """Prints one line; returns the median ratio. Both take turns, after one unmeasured turn."""
    failed = case.stage()["error"]
    if failed.null_count != len(failed):
        raise SystemExit(f"{case.name}: {failed.drop_null()[0]}")
    case.bare()
    pairs = [(seconds(case.stage, device), seconds(case.bare, device)) for _ in range(rounds)]
    ours, bare = (case.images / statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(theirs / own for own, theirs in pairs)
    print(f"{case.name:28} {case.images:>7} {ours:>10.1f} {bare:>10.1f} {ratio:>7.3f}")
    return ratio


def cases(options: argparse.Namespace, work: Path) -> list[Callable[[], Case]]:
    """The two measurements, each built when its turn comes."""
    bundled, device, threads = outside.MODELS, options.device, options.threads
    (work / "images").mkdir()
    images = photographs(work / "images", max(options.images, options.captions))
    some, few = images.slice(0, options.images), images.slice(0, options.captions)
    if options.tiny:
        clip, captioner = bundled / "clip", bundled / "captioner"
    else:
        built = full_size.build(options.checkpoints or work, ("ViT-L-14", "blip-large"))
        clip, captioner = built["ViT-L-14"], built["blip-large"]
    size = 8 if options.tiny else 256
    return [
        lambda: embedding(clip, some, size, device, threads),
        lambda: captioning(captioner, few, max(1, size // 4), device, threads, options.longest),
    ]


def main(words: list[str] | None = None) -> int:
    """Prints the device, the date and one line for each; 1 when a ratio is below what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="bundled models; no bar")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--captions", type=int, default=512)
    parser.add_argument("--longest", type=int, default=20, help="tokens of a caption")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="that decode")
    parser.add_argument("--checkpoints", type=Path, help="where full-size models are, or go")
    options = parser.parse_args(words)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("not measured: no CUDA device")
        return 0
    name = "CPU" if options.device == "cpu" else torch.cuda.get_device_name(options.device)
    print(f"{name}, {datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}, bf16")
    print(f"{'what':28} {'images':>7} {'stage /s':>10} {'bare /s':>10} {'ratio':>7}")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for make in cases(options, Path(folder)):
            ratios.append(measure(make(), options.rounds, options.device))
            models.forget()
    if not options.tiny and min(ratios) < ASKED:
        print(f"below {ASKED} of the bare loop", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
