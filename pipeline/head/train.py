"""Training a head, in memory."""

import math

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.errors import UserError
from pipeline.head.experiment import HeadConfig
from pipeline.head.mlp import Head


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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head(x.shape[1], config.hidden, config.dropout)
        head.standardise(rows)
        optimizer = torch.optim.AdamW(
            head.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        steps = config.epochs * math.ceil(len(rows) / config.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(config.epochs):
            losses.append(_epoch(head, rows, target, config.batch_size, optimizer, schedule))
            if not math.isfinite(losses[-1]):
                raise UserError(
                    f"the loss became {losses[-1]} in epoch {len(losses)} of {config.epochs}",
                    hint=f"lower head.learning_rate (it is {config.learning_rate:g})",
                )
    return head.eval(), losses


def _epoch(head, rows, target, batch_size, optimizer, schedule) -> float:
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
