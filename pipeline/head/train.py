"""Training a head, in memory."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from pipeline.errors import UserError
from pipeline.head.experiment import HeadConfig
from pipeline.head.mlp import Head

_ONE_CORE_MINUTE = 1e12  # rows x epochs x weights, roughly


def train(
    x: np.ndarray, y: np.ndarray, config: HeadConfig, seed: int = 0
) -> tuple[Head, list[float]]:
    """A head trained on x float32 [n, d] and y [n] (0 real, 1 fake), and each epoch's mean loss.

    AdamW and a cosine to zero; runs on the CPU. The same rows and seed give the same weights to the
    last bit on the same machine with the same number of threads; the caller's random state is left
    as it was. Raises UserError when the loss is no longer a number.
    """
    rows, target = torch.from_numpy(x), torch.from_numpy(y.astype(np.float32))
    losses = []
    with torch.random.fork_rng(devices=[]), _threads(len(x), x.shape[1], config):
        torch.manual_seed(seed)
        head = Head(x.shape[1], config.hidden, config.dropout)
        head.standardise(rows)
        optimizer = AdamW(
            head.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        steps = config.epochs * math.ceil(len(rows) / config.batch_size)
        schedule = CosineAnnealingLR(optimizer, steps)
        for _ in range(config.epochs):
            losses.append(_epoch(head, rows, target, config.batch_size, optimizer, schedule))
            if not math.isfinite(losses[-1]):
                raise UserError(
                    f"the loss became {losses[-1]} in epoch {len(losses)} of {config.epochs}",
                    hint=f"lower head.learning_rate (it is {config.learning_rate:g})",
                )
    return head.eval(), losses


def _epoch(
    head: Head,
    rows: torch.Tensor,
    target: torch.Tensor,
    batch_size: int,
    optimizer: AdamW,
    schedule: LRScheduler,
) -> float:
    """One pass over all rows in a new random order; their mean loss."""
    head.train()
    total = torch.zeros(())
    for batch in torch.randperm(len(rows)).split(batch_size):
        loss = binary_cross_entropy_with_logits(head(rows[batch]), target[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.detach() * len(batch)
    return total.item() / len(rows)


@contextmanager
def _threads(rows: int, width: int, config: HeadConfig) -> Iterator[None]:
    """One thread for what one core does in a minute, torch's own number for more.

    Threads wait for each other at every step: beside other busy processes, two were forty times
    slower than one on a head of 256-512-1, and gain nothing on any head that is small.
    """
    before = torch.get_num_threads()
    weights = sum(a * b for a, b in pairwise([width, *config.hidden, 1]))
    if rows * config.epochs * weights < _ONE_CORE_MINUTE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
