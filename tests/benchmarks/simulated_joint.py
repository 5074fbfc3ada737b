"""The joint pass beside a device that is not there: the share of the time that the device is busy.

    python -m tests.benchmarks.simulated_joint [--images 3072] [--part-size 1024]

Captions, patches and three kinds of embeddings at the rates that one H100 was measured at, each
batch on the device's time line (`simulated`); decoding, the bundled parser, boxes, batches, slices
and commits are the pipeline's own, in one process with as many threads as a device worker has.
Asked is 0.85 of the sum of the bare parts: of the time from the first batch to the last one's end
the device is to compute for as much. The first quarter, in which batches grow and slices find their
size, is left out of the second figure.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from pipeline import models, pulse
from pipeline.corpus import decoders
from pipeline.dag.cluster import DEVICE_THREADS
from pipeline.dag.graph import Node, load
from pipeline.engine import joint_pass
from pipeline.engine import run as runner
from pipeline.engine.progress import Reporter
from pipeline.engine.task import Outcome, Task, execute
from pipeline.models.captioners.captioner import Caption, CaptionerSpec
from pipeline.models.clip import patches
from pipeline.models.clip.clip import ClipSpec
from pipeline.stages import embed_images, embed_texts
from pipeline.stages.shared import locate_by_clip
from pipeline.store.parts import Store
from tests.benchmarks import gpu, gpu_run, outside, simulated

ASKED = 0.85
RATES = {"caption": 195.0, "image": 2240.0, "patches": 2000.0, "text": 6000.0}  # a second
WIDTH, GRID = 64, 16  # of the vectors that mean nothing; patches a side, as ViT-L-14's
_MOST = 1024  # items in a batch


class Device(simulated.Device):
    """One batch after the other; `log` has (begin, end) of each."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.log: list[tuple[float, float]] = []

    def work(self, kind: str, count: int) -> float:
        """When `count` items of a kind that are given to it now will be finished."""
        end = self.launch(count / RATES[kind])
        self.log.append((end - simulated.LAUNCH - count / RATES[kind], end))
        return end


class Captioner:
    """Prepares images as a real one does, takes its time, and always writes the same."""

    precision_used, device_used = "bf16", "simulated"

    def __init__(self, real: Any, device: Device):
        self.prepare, self.device = real.prepare, device

    def caption(self, prepared: Sequence[Any], *_: Any) -> list[Caption]:
        end = self.device.work("caption", len(prepared))
        time.sleep(max(0.0, end - time.perf_counter()))
        return [Caption("something", 1, -1.0)] * len(prepared)


class Clip:
    """What the stages ask of a CLIP: its own transform and tokenizer, numbers that mean nothing.

    What `encode_…` gives is (when it is there, how many), and `home` makes arrays of it.
    """

    precision_used, device_used, width = "bf16", "simulated", WIDTH

    def __init__(self, real: Any, device: Device):
        self._real, self.device = real, device
        self.prepare, self.fitted, self.visible = real.prepare, real.fitted, real.visible

    def encode_images(self, prepared: Sequence[Any]) -> tuple[float, int]:
        return self.device.work("image", len(prepared)), len(prepared)

    def encode_texts(self, texts: Sequence[str]) -> tuple[tuple[float, int], np.ndarray]:
        self._real.tokenizer(list(texts))
        return (self.device.work("text", len(texts)), len(texts)), np.zeros(len(texts), bool)

    def encode_patches(self, prepared: Sequence[Any]) -> tuple[Any, tuple[int, int]]:
        return (self.device.work("patches", len(prepared)), len(prepared)), (GRID, GRID)


_UNIT, _NORM = torch.full((_MOST, WIDTH), WIDTH**-0.5), torch.ones(_MOST)
_COSINES = torch.rand((_MOST, GRID**2, 8), generator=torch.Generator().manual_seed(0))


def unit(made: tuple[float, int]) -> simulated.Later:
    """As `pipeline.models.clip.clip.unit`."""
    ready, count = made
    return simulated.Later(ready, _UNIT[:count], _NORM[:count])


def cosines(made: tuple[float, int], phrases: Any, asked: np.ndarray) -> simulated.Later:
    """As `pipeline.models.clip.patches.cosines`."""
    ready, count = made
    return simulated.Later(ready, _COSINES[:count, :, : asked.shape[1]])


class Threads:
    """An executor: the threads of one device worker."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(DEVICE_THREADS)
        self._tasks: dict[Future[Outcome], Task] = {}

    def has_room(self, nodes: Sequence[Node] = ()) -> bool:
        return len(self._tasks) < 2 * DEVICE_THREADS

    def submit(self, task: Task) -> None:
        self._tasks[self._pool.submit(_executed, task)] = task

    def wait(self) -> tuple[Task, Outcome | BaseException] | None:
        if not self._tasks:
            return None
        done, _ = wait(self._tasks, return_when=FIRST_COMPLETED)
        future = done.pop()
        return self._tasks.pop(future), future.exception() or future.result()


def _executed(task: Task) -> Outcome:
    with pulse.task(task.part):
        return execute(task)


def simulating(device: Device) -> Callable[[Any], Any]:
    """`models.get`, with captioners and CLIPs that compute on `device`."""
    real, made, lock = models.get, {}, Lock()

    def get(spec: Any) -> Any:
        kind = {CaptionerSpec: Captioner, ClipSpec: Clip}.get(type(spec))
        if kind is None:
            return real(spec)
        with lock:
            if spec not in made:
                made[spec] = kind(real(spec), device)
            return made[spec]

    return get


def measure(folder: Path, options: argparse.Namespace) -> tuple[float, float]:
    """The device's share of the time, from its first batch on and without the first quarter."""
    bench = SimpleNamespace(
        images=gpu.photographs(folder / "images", options.images),
        spec={"model": f"local-dir:{outside.MODELS / 'clip'}", "device": "cpu"},
        captioner=outside.MODELS / "captioner",
        longest=20,
    )
    bench.spec["precision"] = "fp32"
    options.joint = options.images
    graph = load(str(gpu_run.dags(bench, folder, options)["joint"]), [])
    nodes = [node for node in graph.nodes.values() if node.name != "misalignment"]
    device, threads = Device(), Threads()
    with ExitStack() as stack:
        for module, name, instead in (
            (models, "get", simulating(device)),
            (embed_images, "unit", unit),
            (embed_texts, "unit", unit),
            (locate_by_clip, "unit", unit),
            (locate_by_clip, "to_device", lambda arrays, _: arrays),
            (patches, "cosines", cosines),
            (joint_pass, "on_gpu", lambda _: True),
            (runner._Lazy, "get", lambda _: threads),
        ):
            stack.enter_context(patch.object(module, name, instead))
        reporter = stack.enter_context(Reporter())
        totals = runner.run(graph, Store(folder / "store"), nodes, runner.Options(), reporter)
    if failed := sum(total.rows_failed for total in totals):
        raise SystemExit(f"{failed} failed rows")
    begin, end = device.log[0][0], max(end for _, end in device.log)
    return _busy(device, begin, end), _busy(device, begin + (end - begin) / 4, end)


def _busy(device: Device, begin: float, end: float) -> float:
    """The share of the time from `begin` to `end` in which the device computed."""
    spans = ((max(first, begin), last) for first, last in device.log)
    return sum(max(0.0, last - first) for first, last in spans) / (end - begin)


def main(words: list[str] | None = None) -> int:
    """Prints both shares; 1 when the first is below what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=3072)
    parser.add_argument("--part-size", type=int, default=1024)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        whole, later = measure(Path(name), options)
    decoders.forget()
    print(f"busy from the first batch on {whole:.3f}, without the first quarter {later:.3f}")
    return int(whole < ASKED)


if __name__ == "__main__":
    os.environ.setdefault(decoders.COUNT, str(os.cpu_count()))
    sys.exit(main())
