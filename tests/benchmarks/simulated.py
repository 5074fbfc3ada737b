"""Feeding a device that is not there: images a second of `embed_images` beside a model that sleeps.

    python -m tests.benchmarks.simulated [--rates 100 500 2000 5000] [--sizes 224x224 512x384]

The model takes batch / rate seconds, on a time line of its own, without holding the interpreter: as
a GPU does, it works while the next batch is collected. Decoding, transforming, the processes beside
it, batches and the table are the pipeline's own. With `--bandwidth` the model copies memory all the
while, as a GPU that shares it with the cores.

Asked is 0.95 of what is possible: the device's rate, in batches of the size that `auto` settled for
(each costs LAUNCH beside its images), or that of decoding with all cores and nothing else, measured
in the same turns. `--profile FILE` writes what the process that owns the device does itself
(cProfile).
"""

import argparse
import cProfile
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torchvision import transforms

from pipeline.corpus import decoders
from pipeline.corpus.decode import Beside, decode
from pipeline.models.clip.pixels import Pixels
from pipeline.models.transfer import Home
from pipeline.stages import embed_images
from pipeline.stages.shared.batching import settled
from tests.benchmarks.gpu import CORPUS, line
from tests.helpers.images import images_table

ASKED = 0.95
WIDTH = 768  # of the embeddings, as ViT-L-14's
SEEN = 224  # pixels, of the model's side
_UNIT, _NORM = torch.full((1024, WIDTH), WIDTH**-0.5), torch.ones(1024)
LAUNCH = 0.002  # seconds that a batch of any size costs, so that larger ones are worth it


class Device:
    """Computes one batch after the other, at `rate` images a second, while nobody waits."""

    type = "simulated"

    def __init__(self, rate: float):
        self.rate, self._free, self._lock = rate, 0.0, Lock()

    def launch(self, count: float) -> float:
        """When a batch of `count` that is given to it now will be finished."""
        with self._lock:
            begin = max(time.perf_counter(), self._free)
            self._free = begin + LAUNCH + count / self.rate
            return self._free


class Later(Home):
    """Tensors that are there at a given time."""

    def __init__(self, ready: float, *tensors: Any):
        super().__init__(*tensors)
        self._ready = ready

    def arrays(self) -> list[np.ndarray]:
        time.sleep(max(0.0, self._ready - time.perf_counter()))
        return super().arrays()


class Clip:
    """What `embed_images` asks of a CLIP: the real transform, and vectors that mean nothing."""

    width = WIDTH

    def __init__(self, rate: float):
        self.device = Device(rate)
        self.prepare = Pixels(
            transforms.Compose(
                [
                    transforms.Resize(SEEN, transforms.InterpolationMode.BICUBIC),
                    transforms.CenterCrop(SEEN),
                    transforms.ToTensor(),
                    transforms.Normalize((0.5,) * 3, (0.5,) * 3),
                ]
            )
        ).prepare

    def encode_images(self, prepared: Sequence[np.ndarray]) -> tuple[float, int]:
        """(when they will be there, how many)."""
        return self.device.launch(len(prepared)), len(prepared)


def unit(made: tuple[float, int]) -> Home:
    """As `pipeline.models.clip.clip.unit`: what a device would have computed is there already."""
    ready, count = made
    return Later(ready, _UNIT[:count], _NORM[:count])


def files(folder: Path, size: tuple[int, int], count: int) -> pa.Table:
    """The table `images` with `count` rows over 16 JPEG files of `size`."""
    uris, digests = [], []
    for number, source in enumerate(sorted(CORPUS.rglob("*.jpg"))[:16]):
        with Image.open(source) as image:
            larger = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
        noise = np.random.default_rng(number).integers(0, 8, (*size[::-1], 1), dtype=np.uint8)
        path = folder / f"{size[0]}x{size[1]}-{number}.jpg"
        Image.fromarray(np.minimum(larger, 247) + noise).save(path, quality=85)
        uris.append(str(path))
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    places = [number % len(uris) for number in range(count)]
    columns = {
        "image_id": [f"{number:032x}" for number in range(count)],
        "uri": [uris[place] for place in places],
        "sha256": [digests[place] for place in places],
        "width": [size[0]] * count,
        "height": [size[1]] * count,
    }
    return images_table(columns)


def decode_rate(images: pa.Table, clip: Clip) -> float:
    """Images a second of decoding and transforming alone, by all processes."""
    started = time.perf_counter()
    for _ in decode(images, prepare=clip.prepare, beside=Beside(lambda: 512)):
        pass
    return len(images) / (time.perf_counter() - started)


def stage_rate(images: pa.Table, clip: Clip, profile: Any = None) -> float:
    """Images a second of the stage."""
    parameters = embed_images.EmbedImagesParameters(clip={"model": "local-dir:x"})
    with patch.object(embed_images, "unit", unit), profile or nullcontext():
        started = time.perf_counter()
        table = embed_images.run({"images": images}, parameters, [clip])
        seconds = time.perf_counter() - started
    if table["error"].null_count != len(table):
        raise SystemExit(table["error"].drop_null()[0].as_py())
    return len(images) / seconds


def copying(stop: Event) -> None:
    """Takes memory bandwidth until told to stop, without the interpreter's lock."""
    source = np.ones(2**27, np.uint8)
    target = np.empty_like(source)
    while not stop.is_set():
        np.copyto(target, source)


def measure(folder: Path, size: tuple[int, int], rate: float, options: argparse.Namespace) -> float:
    """The ratio of what the stage reaches to what is possible: one row of the table."""
    clip = Clip(rate)
    some = files(folder, size, 16)
    decode_rate(some, clip)
    possible = min(rate, decode_rate(files(folder, size, 64), clip))
    images = files(folder, size, max(64, int(possible * options.seconds)))
    stage_rate(images, clip)  # `auto` settles
    ours, decoding = [], []
    for _ in range(options.rounds):
        decoding.append(decode_rate(images, clip))
        ours.append(stage_rate(images, clip))
    ours_rate = statistics.median(ours)
    batch = settled(clip).get("images")
    device = rate if batch is None else batch / (LAUNCH + batch / rate)
    bound = min(device, statistics.median(decoding))
    name = f"{size[0]}x{size[1]}, device of {rate:.0f} images/s"
    note = f"device {device:.0f}, decoding alone {statistics.median(decoding):.0f}"
    line(name, ours_rate, bound, note)
    return ours_rate / bound


def main(words: list[str] | None = None) -> int:
    """Prints the table; 1 when a ratio is below what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rates", nargs="*", type=float, default=[100, 500, 2000, 5000])
    parser.add_argument("--sizes", nargs="*", default=["224x224", "512x384", "4000x3000"])
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bandwidth", action="store_true", help="a device that copies memory, too")
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args(words)
    print(f"{'what':44} {'images/s':>9} {'of both':>7}")
    ratios = []
    stop = Event()
    if options.bandwidth:
        Thread(target=partial(copying, stop), daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        for text in options.sizes:
            width, height = map(int, text.split("x"))
            for rate in options.rates:
                ratios.append(measure(Path(name), (width, height), rate, options))
        if options.profile:
            profile = cProfile.Profile()
            images = files(Path(name), (width, height), 2000)
            stage_rate(images, Clip(rate), profile)
            profile.dump_stats(options.profile)
    stop.set()
    decoders.forget()
    return int(min(ratios) < ASKED)


if __name__ == "__main__":
    os.environ.setdefault(decoders.COUNT, str(os.cpu_count()))
    sys.exit(main())
