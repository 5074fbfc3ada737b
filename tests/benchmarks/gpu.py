"""Images a second of the stages on one GPU, against the bare model loop fed from GPU memory.

    python -m tests.benchmarks.gpu [--only decode embed caption ground] [--images 4096] [--peer]

ViT-L-14 image embeddings, its patches for grounding, and BLIP-large captions (3 beams), bf16,
weights random at the real sizes (`full_size.py`). The stages read JPEG files, decode and transform
them on the fly, and give their Arrow tables; the bare loop has the same images as finished tensors
in GPU memory and calls `encode_image` or `generate`, nothing else. With `--peer` a DataLoader loop
with as many processes and pinned memory runs, too. Asked of a stage is 0.90 of the bare loop, of
captions 0.95 of its best batch. Without a GPU nothing is measured. `--device cpu --tiny` runs the
same code with the bundled models; `gpu_run` measures whole runs.
"""

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from pipeline import models, tables
from pipeline.corpus import decoders
from pipeline.corpus.decode import Beside, decode
from pipeline.models.clip.pixels import Pixels
from pipeline.stages.registry import get_stage
from pipeline.stages.shared.batching import settled
from tests.benchmarks import full_size, outside
from tests.helpers.images import images_table

ASKED = {"embed_images": 0.90, "caption": 0.95}
SIZE = (512, 384)  # of the JPEG files: about what the public corpora hold
CORPUS = outside.MODELS.parent / "corpus"
PHRASES = ("a dog", "the red car", "two people")


def photograph(folder: Path, number: int) -> tuple[str, str]:
    """(path, SHA-256) of a JPEG file of SIZE and about 55 kB, another one for each number."""
    files = sorted(CORPUS.rglob("*.jpg"))
    with Image.open(files[number % len(files)]) as image:
        larger = np.asarray(image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC), np.int16)
    noise = np.random.default_rng(number).integers(-7, 8, (*SIZE[::-1], 1), dtype=np.int16)
    path = folder / f"{number:06}.jpg"
    Image.fromarray(np.clip(larger + noise, 0, 255).astype(np.uint8)).save(path, quality=85)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


def photographs(folder: Path, count: int) -> pa.Table:
    """That many files, and the table `images` over them."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(mp_context=get_context("forkserver")) as pool:
        made = list(pool.map(partial(photograph, folder), range(count), chunksize=32))
    uris, digests = zip(*made, strict=True)
    columns = {"image_id": [one[:32] for one in digests], "uri": uris, "sha256": digests}
    sizes = {"width": [SIZE[0]] * count, "height": [SIZE[1]] * count}
    return images_table({**columns, **sizes})


class Bench:
    """What all measurements share: files, models, device."""

    def __init__(self, options: argparse.Namespace, work: Path):
        self.device, self.rounds = options.device, options.rounds
        self.peer = getattr(options, "peer", False)
        self.cores, self.longest = options.decoders or os.cpu_count() or 1, options.longest
        self.images = photographs(work / "images", options.images)
        self.few = self.images.slice(0, options.captions)
        self.sizes: list[int] = [2, 4] if options.tiny else [16, 64, 128, 256, 512]
        self.batch = 8 if options.tiny else 256
        if options.tiny:
            self.clip, self.captioner = outside.MODELS / "clip", outside.MODELS / "captioner"
        else:
            built = full_size.build(options.checkpoints or work, ("ViT-L-14", "blip-large"))
            self.clip, self.captioner = built["ViT-L-14"], built["blip-large"]
        # processors without bf16 of their own would take minutes for the small models
        self.precision = "fp32" if options.device == "cpu" else "bf16"
        self.dtype = torch.float32 if options.device == "cpu" else torch.bfloat16
        self.spec = {"model": f"local-dir:{self.clip}", "device": self.device}
        self.spec["precision"] = self.precision

    def stage(self, name: str, parameters: dict[str, Any], **inputs: pa.Table) -> Callable[[], Any]:
        """The stage as a task runs it: its models loaded once, then one part."""
        stage = get_stage(name)
        checked = stage.parameters(**parameters)
        loaded = [models.get(spec) for spec in stage.models(checked)]

        def run() -> pa.Table:
            table = stage.run(inputs, checked, loaded)
            failed = table["error"].drop_null()
            if len(failed):
                raise SystemExit(f"{name}: {failed[0]}")
            return table

        run.loaded = loaded  # type: ignore[attr-defined]
        return run

    def seconds(self, work: Callable[[], Any], rounds: int | None = None, warm: int = 1) -> float:
        """Median wall time of `work`, the device's own work included, after turns to warm up."""
        found = []
        for number in range(warm + (rounds or self.rounds)):
            self.wait()
            started = time.perf_counter()
            work()
            self.wait()
            if number >= warm:
                found.append(time.perf_counter() - started)
        return statistics.median(found)

    def wait(self) -> None:
        """Until the device has nothing to do."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def open_clip(self) -> tuple[Any, Any]:
        """(model, transform) as open_clip itself gives them."""
        import open_clip

        model, transform = open_clip.create_model_from_pretrained(
            f"local-dir:{self.clip}", precision=self.precision, device=self.device
        )
        return model.eval(), transform

    def in_memory(self, images: pa.Table, prepare: Any, batch: int) -> list[torch.Tensor]:
        """Prepared images as bf16 batches on the device."""
        batches, some = [], []
        rows = decode(images, prepare=prepare, beside=Beside(lambda: 512))
        for number, (_, one, _) in enumerate(rows, 1):
            some.append(torch.from_numpy(np.array(one)))
            if len(some) == batch or number == len(images):
                stacked = torch.stack(some).to(self.device)
                batches.append(stacked.permute(0, 3, 1, 2).to(self.dtype).div_(255).contiguous())
                some = []
        return batches


def line(name: str, rate: float, bare: float | None = None, note: str = "") -> None:
    """One row of the table."""
    ratio = f"{rate / bare:7.3f}" if bare else " " * 7
    print(f"{name:44} {rate:9.1f} {ratio}  {note}", flush=True)


def measure_decode(bench: Bench) -> None:
    """Reading, hashing, decoding and transforming alone, in 1 to all processes, and in threads."""
    _, transform = bench.open_clip()
    prepare = Pixels(transform).prepare
    counts = sorted({1, min(4, bench.cores), bench.cores})
    for count in counts:
        some = bench.images.slice(0, min(len(bench.images), 400 * count))
        run = partial(_drain, some, count, prepare, Beside(lambda: 768))
        line(f"decode, {count} processes", len(some) / bench.seconds(run, 2))
    some = bench.images.slice(0, min(len(bench.images), 2000))
    run = partial(_drain, some, min(16, bench.cores), prepare, None)
    line(f"decode, {min(16, bench.cores)} threads", len(some) / bench.seconds(run, 1))


def _drain(images: pa.Table, count: int, prepare: Any, beside: Beside | None) -> None:
    for _ in decode(images, count, prepare, beside=beside):
        pass


def measure_embed(bench: Bench) -> float:
    """`embed_images` against `encode_image`; the peer; and our stage with decoding threads."""
    model, transform = bench.open_clip()
    batches = bench.in_memory(bench.images, Pixels(transform).prepare, bench.batch)

    def bare() -> None:
        with torch.inference_mode():
            for pixels in batches:
                model.encode_image(pixels)

    run = bench.stage("embed_images", {"clip": bench.spec}, images=bench.images)
    count, ratios = len(bench.images), []
    run(), bare()
    for _ in range(bench.rounds):
        ours, theirs = bench.seconds(run, 1, 0), bench.seconds(bare, 1, 0)
        ratios.append((theirs / ours, count / ours, count / theirs))
    ratio, ours, theirs = (statistics.median(some) for some in zip(*ratios, strict=True))
    line(f"bare encode_image, batches of {bench.batch}", theirs)
    line("stage embed_images", ours, theirs, f"batches {settled(run.loaded[0])}")
    if bench.peer:
        loop = partial(_loader_loop, bench, model, transform)
        line("DataLoader loop, pinned, same processes", count / bench.seconds(loop, 1), theirs)
    threads = bench.stage("embed_images", {"clip": bench.spec}, images=bench.images)
    os.environ[decoders.COUNT] = "0"
    line("stage embed_images, decoding in threads", count / bench.seconds(threads, 1, 0), theirs)
    del os.environ[decoders.COUNT]
    return ratio / ASKED["embed_images"]


class _Files(torch.utils.data.Dataset):
    """The files for the peer, hashed as the pipeline hashes them."""

    def __init__(self, uris: list[str], transform: Any):
        self.uris, self.transform = uris, transform

    def __len__(self) -> int:
        return len(self.uris)

    def __getitem__(self, number: int) -> torch.Tensor:
        data = Path(self.uris[number]).read_bytes()
        hashlib.sha256(data).hexdigest()
        with Image.open(self.uris[number]) as image:
            return self.transform(image.convert("RGB"))


def _loader_loop(bench: Bench, model: Any, transform: Any) -> None:
    loader = torch.utils.data.DataLoader(
        _Files(bench.images["uri"].to_pylist(), transform),
        batch_size=bench.batch,
        num_workers=bench.cores,
        pin_memory=bench.device.startswith("cuda"),
        multiprocessing_context="forkserver",
    )
    with torch.inference_mode():
        for pixels in loader:
            moved = pixels.to(bench.device, bench.dtype, non_blocking=True)
            model.encode_image(moved).float().cpu()


def measure_caption(bench: Bench) -> float:
    """`caption` against `generate` in its best batch, 3 beams."""
    from transformers import BlipForConditionalGeneration

    parameters = {"model": str(bench.captioner), "num_beams": 3, "max_new_tokens": bench.longest}
    more = {"precision": bench.precision, "device": bench.device}
    run = bench.stage("caption", {**parameters, **more}, images=bench.few)
    (adapter,) = run.loaded
    model = BlipForConditionalGeneration.from_pretrained(bench.captioner, dtype=bench.dtype)
    model = model.to(bench.device).eval()
    best = 0.0
    for size in [size for size in bench.sizes if size <= len(bench.few)]:
        some = bench.few.slice(0, max(size, min(len(bench.few), 4 * size)))
        batches = bench.in_memory(some, adapter.prepare, size)

        def bare(batches: Iterable[torch.Tensor] = batches) -> None:
            with torch.inference_mode():
                for pixels in batches:
                    model.generate(
                        pixels, num_beams=3, max_new_tokens=bench.longest, do_sample=False
                    )

        rate = len(some) / bench.seconds(bare, 1)
        line(f"bare generate, batches of {size}", rate)
        best = max(best, rate)
    ours = len(bench.few) / bench.seconds(run, min(2, bench.rounds))
    line("stage caption", ours, best, f"batches {settled(adapter)}")
    return ours / best / ASKED["caption"]


def measure_ground(bench: Bench) -> float:
    """`ground: patches` with three phrases an image, against the patch features alone."""
    ids = bench.images["image_id"].to_pylist()
    some = [(image_id, number, text) for image_id in ids for number, text in enumerate(PHRASES)]
    columns = dict(zip(("image_id", "object_no", "phrase"), zip(*some, strict=True), strict=True))
    objects = tables.build("objects", columns)
    run = bench.stage(
        "ground", {"method": "patches", "clip": bench.spec}, images=bench.images, objects=objects
    )
    (clip,) = run.loaded
    batches = bench.in_memory(bench.images, clip.prepare, bench.batch)
    clip._batch = lambda pixels: pixels

    def bare() -> None:
        for pixels in batches:
            clip.encode_patches(pixels)

    theirs = len(ids) / bench.seconds(bare, 1)
    del clip._batch
    ours = len(ids) / bench.seconds(run, min(2, bench.rounds))
    line("bare patch features", theirs)
    line("stage ground, patches", ours, theirs, f"batches {settled(clip)}")
    return ours / theirs


MEASURES = {
    "decode": measure_decode,
    "embed": measure_embed,
    "caption": measure_caption,
    "ground": measure_ground,
}


def main(words: list[str] | None = None) -> int:
    """Prints the device, the date and the table; 1 when a ratio is below what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", choices=tuple(MEASURES), default=list(MEASURES))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="bundled models; no bar")
    parser.add_argument("--peer", action="store_true", help="a DataLoader loop, too")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--captions", type=int, default=2048)
    parser.add_argument("--longest", type=int, default=20, help="tokens of a caption")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--decoders", type=int, help="processes that decode (default: the cores)")
    parser.add_argument("--checkpoints", type=Path, help="where full-size models are, or go")
    options = parser.parse_args(words)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("not measured: no CUDA device")
        return 0
    name = "CPU" if options.device == "cpu" else torch.cuda.get_device_name(options.device)
    print(
        f"{name}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}"
    )
    print(f"{'what':44} {'images/s':>9} {'of bare':>7}")
    reached = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        for one in options.only:
            reached.append(MEASURES[one](bench))
            models.forget()
            if options.device.startswith("cuda"):
                torch.cuda.empty_cache()
        decoders.forget()
    if not options.tiny and any(ratio is not None and ratio < 1 for ratio in reached[1:3]):
        print(f"below what is asked of the bare loop: {ASKED}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
