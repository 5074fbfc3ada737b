"""Training a head, and when to stop."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from pipeline.dag.experiment import HeadConfig
from pipeline.errors import UserError
from pipeline.head.methods.mlp import Head
from pipeline.head.vectors.row_reader import InMemory, Source

WEIGHT_DECAYS = (0.01, 1.0)  # what `auto` tries; the first without validation rows
_ONE_CORE_MINUTE = 1e12  # rows x epochs x weights, roughly


@dataclass(frozen=True)
class Epoch:
    """One point of the learning curves. Losses are means in nats, weighted as in training."""

    epoch: int  # from 1
    learning_rate: float  # at its start
    train_loss: float  # over the epoch, while the weights changed
    validation_loss: float | None  # after it; None without validation rows
    validation_ap: float | None


@dataclass(frozen=True)
class Trained:
    """A head, its learning curve, the epoch (from 1) that its weights are of, and its decay."""

    head: Head
    curve: list[Epoch]
    best: int
    weight_decay: float


class _Rows:
    """Images x, their labels and weights, float32 [n], as tensors."""

    def __init__(self, x: np.ndarray | Source, y: np.ndarray, weights: np.ndarray | None):
        self.x = InMemory(x) if isinstance(x, np.ndarray) else x
        self.target = torch.from_numpy(y.astype(np.float32))
        self.weight = torch.from_numpy(weights[y]) if weights is not None else None

    def loss(self, logits: torch.Tensor, batch: torch.Tensor | slice) -> torch.Tensor:
        weight = None if self.weight is None else self.weight[batch].to(logits.dtype)
        target = self.target[batch].to(logits.dtype)
        return binary_cross_entropy_with_logits(logits, target, weight)


def train(
    x: np.ndarray | Source,
    y: np.ndarray,
    config: HeadConfig,
    seed: int = 0,
    validation: tuple[np.ndarray | Source, np.ndarray] | None = None,
) -> Trained:
    """A head trained on x float32 [n, d] and y int8 [n] (0 real, 1 fake), row by row.

    AdamW and a cosine to zero over all epochs; runs on the CPU. An epoch goes over the rows once,
    or as often as it takes for `least_steps`: a few hundred rows are two or three batches, and
    twenty times these are the beginning of learning. With `validation` (x [m, d], y [m]) training
    stops after `patience` epochs without a better one (`Keeper`), and the weights of the best epoch
    come back; without validation, or with `patience` None, those of the last. A weight
    decay of `auto` is the one of `WEIGHT_DECAYS` of the least validation loss, among those whose
    validation AP is within `min_delta` of the best. The same rows and seed give the same weights to
    the last bit on the same machine with the same number of threads; the caller's random state is
    left as it was. Raises UserError when a loss is no longer a number.
    """
    decays = WEIGHT_DECAYS if config.weight_decay == "auto" else (config.weight_decay,)
    found = [
        _trained(x, y, config, decay, seed, validation)
        for decay in decays[: None if validation else 1]
    ]
    if len(found) == 1:
        return found[0]
    points = [one.curve[one.best - 1] for one in found]
    top = max(point.validation_ap for point in points)
    near = [n for n, point in enumerate(points) if point.validation_ap >= top - config.min_delta]
    return found[min(near, key=lambda n: points[n].validation_loss)]


def _trained(
    x: np.ndarray | Source,
    y: np.ndarray,
    config: HeadConfig,
    decay: float,
    seed: int,
    validation: tuple[np.ndarray | Source, np.ndarray] | None,
) -> Trained:
    """`train`, with one weight decay."""
    weights = class_weights(y) if config.class_weights == "balanced" else None
    rows = _Rows(x, y, weights)
    held = _Rows(*validation, weights) if validation else None
    curve: list[Epoch] = []
    width = rows.x.width
    with torch.random.fork_rng(devices=[]), _threads(len(x), width, config):
        torch.manual_seed(seed)
        head = Head(width, config.hidden, config.dropout, config.activation, config.norm)
        head.standardise(rows.x)
        optimizer = AdamW(head.parameters(), config.learning_rate, weight_decay=decay, fused=True)
        each = math.ceil(len(rows.x) / config.batch_size)  # steps of one pass over the rows
        passes = math.ceil(config.least_steps / each)
        schedule = CosineAnnealingLR(optimizer, config.epochs * passes * each)
        keeper = None
        if held and config.patience:
            keeper = Keeper(config.patience, config.min_delta)
        for number in range(1, config.epochs + 1):
            rate = schedule.get_last_lr()[0]
            some = (
                _pass(head, rows, config.batch_size, optimizer, schedule) for _ in range(passes)
            )
            loss = sum(some) / passes
            _check_number(loss, "loss", number, rate, config)
            point = Epoch(number, rate, loss, *_validate(head, held, number, rate, config))
            curve.append(point)
            if keeper and keeper.enough(point, head):
                break
    if keeper:
        head.load_state_dict(keeper.state)
    return Trained(head.eval(), curve, keeper.best.epoch if keeper else len(curve), decay)


def class_weights(y: np.ndarray) -> np.ndarray:
    """float32 [2]: what a real and what a fake weighs so that both kinds do alike; 1 on average."""
    counts = np.bincount(y, minlength=2)
    return (len(y) / (2 * counts)).astype(np.float32)


def _pass(
    head: Head, rows: _Rows, batch_size: int, optimizer: AdamW, schedule: LRScheduler
) -> float:
    """One pass over all rows in a new random order; their mean loss."""
    head.train()
    total = torch.zeros(())
    for x, batch in rows.x.epoch(batch_size):
        loss = rows.loss(head(x), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.detach() * len(batch)
    return total.item() / len(rows.x)


def _validate(
    head: Head, held: _Rows | None, number: int, rate: float, config: HeadConfig
) -> tuple[float | None, float | None]:
    """Loss and average precision on the validation rows."""
    if held is None:
        return None, None
    logits = head.logits(held.x)
    loss = held.loss(logits, slice(None)).item()
    _check_number(loss, "validation loss", number, rate, config)
    return loss, float(average_precision_score(held.target.numpy(), logits.numpy()))


def _check_number(loss: float, what: str, number: int, rate: float, config: HeadConfig) -> None:
    if not math.isfinite(loss):
        raise UserError(
            f"the {what} became {loss} in epoch {number} of {config.epochs}, "
            f"at a learning rate of {rate:g}",
            hint=f"lower head.learning_rate (it is {config.learning_rate:g})",
        )


class Keeper:
    """Keeps the weights of the best epoch, and knows when to stop looking for a better one.

    An epoch is better than the best so far when its validation AP is higher by more than
    `min_delta`, or when no AP so far is higher than its own by more than that and its validation
    loss is the lower one. The AP of a hundred images moves by more than 0.01 when a few of them
    change places: by AP alone the first epoch often wins, long before the loss is at its lowest.
    """

    def __init__(self, patience: int, min_delta: float):
        self.patience, self.min_delta = patience, min_delta
        self.best: Epoch | None = None
        self.top = -math.inf  # the highest AP so far
        self.state: dict[str, torch.Tensor] = {}

    def enough(self, point: Epoch, head: Head) -> bool:
        """Looks at an epoch and the head after it; whether training should stop now."""
        if self._better(point):
            self.best = point
            self.state = {name: value.clone() for name, value in head.state_dict().items()}
        self.top = max(self.top, point.validation_ap)
        return point.epoch - self.best.epoch >= self.patience

    def _better(self, point: Epoch) -> bool:
        if self.best is None or point.validation_ap > self.best.validation_ap + self.min_delta:
            return True
        near = point.validation_ap >= self.top - self.min_delta
        return near and point.validation_loss < self.best.validation_loss


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
