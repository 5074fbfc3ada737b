"""What the four generators share: seeded batches, the bfloat16 switch, saving and loading.

A trained generator is a folder of two files: `model.safetensors` (weights) and `record.json` (how
it was made). Pictures are uint8 [n, 64, 64, 3] outside and float32 [n, 3, 64, 64] in -1..1 inside.
"""

import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn


@dataclass(frozen=True)
class Record:
    """How a generator was trained.

    `seconds` is wall time, `cpu_seconds` the time that `threads` threads of `processor` really
    worked: much less than the wall time on a machine that does something else besides.
    """

    family: str
    seed: int
    parameters: int
    training_images: int
    steps: int
    batch: int
    seconds: float
    cpu_seconds: float
    threads: int
    processor: str
    final_losses: dict[str, float]


def to_pictures(tensor: torch.Tensor) -> np.ndarray:
    """float [n, 3, 64, 64] in -1..1 (clipped) to uint8 [n, 64, 64, 3]."""
    scaled = (tensor.detach().float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [n, 64, 64, 3] to float32 [n, 3, 64, 64] in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def batches(count: int, batch: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Yields `steps` sorted index arrays: shuffled passes over `count` items, `batch` at a time."""
    rng = np.random.default_rng([20251104, seed])
    order = rng.permutation(count)
    start = 0
    for _ in range(steps):
        if start + batch > count:
            order, start = rng.permutation(count), 0
        yield np.sort(order[start : start + batch])
        start += batch


def fast() -> torch.autocast:
    """bfloat16 arithmetic on the CPU: about twice the speed where avx512_bf16 is there."""
    return torch.autocast("cpu", torch.bfloat16)


def warm_then_cosine(step: int, steps: int, warm: int = 200) -> float:
    """Learning-rate factor: linear warm-up, then a cosine down to a twentieth."""
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return 0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress))))


class Average:
    """Exponential moving average of a module's weights and buffers, for sampling."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Moves towards the module's present weights; faster at the beginning."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in module.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value.detach(), 1 - decay)
            else:
                self.state[key].copy_(value)


class Clock:
    """Prints losses every `every` steps and knows the wall time since it was made."""

    def __init__(self, name: str, steps: int, every: int = 100):
        self.name, self.steps, self.every = name, steps, every
        self.start, self.cpu_start = time.perf_counter(), time.process_time()
        self.means: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self.start

    def follows(self, first: "Clock") -> None:
        """Counts time and shows losses from `first`, the training that came before this one."""
        self.start, self.cpu_start = first.start, first.cpu_start
        self.means |= {f"{first.name.split()[-1]}_{k}": v for k, v in first.means.items()}

    def tick(self, step: int, **losses: torch.Tensor) -> None:
        """Keeps running means of the losses and prints them now and then."""
        for key, value in losses.items():
            number = float(value.detach())
            self.means[key] = 0.98 * self.means.get(key, number) + 0.02 * number
        if (step + 1) % self.every == 0 or step + 1 == self.steps:
            shown = "  ".join(f"{k} {v:.4f}" for k, v in self.means.items())
            print(f"{self.name} {step + 1}/{self.steps} {self.seconds:.0f} s  {shown}", flush=True)

    def record(
        self, model: nn.Module, *, family: str, seed: int, images: int, batch: int
    ) -> Record:
        """The record of a finished training."""
        return Record(
            family=family,
            seed=seed,
            parameters=sum(p.numel() for p in model.parameters()),
            training_images=images,
            steps=self.steps,
            batch=batch,
            seconds=round(self.seconds, 3),
            cpu_seconds=round(time.process_time() - self.cpu_start, 3),
            threads=torch.get_num_threads(),
            processor=platform.machine(),
            final_losses={k: round(v, 5) for k, v in self.means.items()},
        )


def save(folder: Path, model: nn.Module, record: Record) -> None:
    """Writes weights and record; the record comes last, so its presence means finished."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, str(folder / "model.safetensors"))
    (folder / "record.json").write_text(json.dumps(asdict(record), indent=2) + "\n")


def read_record(folder: Path) -> Record:
    """The record of a trained generator; FileNotFoundError if it was not trained yet."""
    return Record(**json.loads((folder / "record.json").read_text()))


def load(folder: Path, build: Callable[[], nn.Module]) -> nn.Module:
    """The model of `folder` in evaluation mode; FileNotFoundError if it was not trained yet."""
    model = build()
    model.load_state_dict(load_file(str(folder / "model.safetensors")))
    return model.eval()
