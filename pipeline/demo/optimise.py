"""The optimisers and the loop that the trainings of trunk, CLIP and captioner share."""

import time
from collections.abc import Callable

import torch
from torch import nn


def make_optimizers(
    modules: list[nn.Module], rate: float, weight_decay: float = 0.02
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside transformer blocks, AdamW for everything else."""
    matrices, others = [], []
    for module in modules:
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            hidden = parameter.ndim == 2 and ("resblocks" in name or ".layer" in name)
            (matrices if hidden else others).append(parameter)
    return [
        torch.optim.Muon(
            matrices, lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=weight_decay),
    ]


def optimise(
    optimizers: list[torch.optim.Optimizer],
    step_loss: Callable[[int], dict[str, torch.Tensor]],
    steps: int,
    minutes: float | None = None,
    warmup: int = 40,
) -> int:
    """Runs `steps` steps (fewer when `minutes` run out first), rate rising, then falling to zero.

    `step_loss(step)` returns named losses, already weighted; their sum is minimised. Returns the
    number of steps taken. With `minutes` the schedule follows the clock and two runs differ.
    """
    base = [[group["lr"] for group in o.param_groups] for o in optimizers]
    start, done = time.monotonic(), 0
    means: dict[str, float] = {}
    for step in range(steps):
        clock = (time.monotonic() - start) / 60
        progress = max(step / steps, clock / minutes if minutes else 0.0)
        if progress >= 1:
            break
        factor = min(1.0, (step + 1) / warmup) * min(1.0, 1.25 * (1 - progress))
        for optimizer, rates in zip(optimizers, base, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        with torch.autocast("cpu", torch.bfloat16):
            losses = step_loss(step)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
        for name, value in losses.items():
            means[name] = 0.95 * means.get(name, value.item()) + 0.05 * value.item()
        done += 1
        if step % 25 == 0:
            text = " ".join(f"{name} {value:.3f}" for name, value in means.items())
            print(f"step {step} {clock:.1f} min {text}", flush=True)
    return done
