"""Live progress of a run: bars on a terminal, plain lines elsewhere. Images are counted."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from pipeline.engine.task import Receipt
from pipeline.errors import visible

_QUIET_SECONDS = 10.0  # between two plain lines about the same node


@dataclass
class _Node:
    """One node's progress, in images; `going`: in parts that are not finished yet."""

    images: int
    parts: int
    done: int
    parts_done: int
    going: int = 0
    ok: int = 0
    failed: int = 0
    loading: bool = False
    began: float = field(default_factory=lambda: monotonic())  # to be announced
    paced: float | None = None  # when the first image was seen, and at how many
    paced_at: int = 0
    said: float = field(default_factory=lambda: monotonic())

    @property
    def so_far(self) -> int:
        """Images made, finished or not."""
        return min(self.images, self.done + self.going)

    def left(self) -> float | None:
        """Seconds until all are made, at the pace since the first one; None: not known yet."""
        made = self.so_far - self.paced_at
        if self.paced is None or made <= 0:
            return None
        return (monotonic() - self.paced) / made * (self.images - self.so_far)

    def moved(self) -> None:
        """Takes the time once work is seen: before it models were loaded, or others were waited
        for."""
        if self.paced is None and self.so_far > 0:
            self.paced, self.paced_at = monotonic(), self.so_far

    def text(self) -> str:
        """What a line says of it."""
        rows = f"{self.ok + self.failed} in, {self.ok} ok, {self.failed} failed"
        spent = f"{monotonic() - self.began:.0f} s"
        left = self.left()
        if self.loading and not self.so_far:
            spent += ", loading models"
        elif left is not None and self.so_far < self.images:
            spent += f", about {_rounded(left)} left"
        return f"{self.parts_done}/{self.parts} parts  {rows}  ({spent})"


class Reporter:
    """Shows, for every node, images made, rows ok and failed. Use as a context manager."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._ids: dict[str, TaskID] = {}
        self._nodes: dict[str, _Node] = {}

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<18}"),
                BarColumn(bar_width=12),
                TextColumn("{task.completed:>6}/{task.total} images  {task.fields[rows]}"),
                console=self.console,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()
            self._bars = None

    def say(self, text: str) -> None:
        """One line for the user."""
        self.console.print(visible(text), markup=False)
        sys.stderr.flush()

    def node(self, name: str, parts: tuple[int, int], images: tuple[int, int]) -> None:
        """Announces a node: so many of its parts, and of its images, are there already."""
        node = self._nodes[name] = _Node(images[1], parts[1], images[0], parts[0])
        node.paced_at = node.done
        if self._bars:
            self._ids[name] = self._bars.add_task(
                name, total=node.images, completed=node.done, rows=""
            )
        elif node.parts_done == node.parts:
            self.say(f"{name:<18} {node.parts}/{node.parts} parts are in the store")

    def part(self, receipt: Receipt, images: int) -> None:
        """Counts a finished part of so many images."""
        node = self._nodes[receipt.node]
        node.parts_done, node.done = node.parts_done + 1, node.done + images
        node.going = max(0, node.going - images)
        node.ok, node.failed = node.ok + receipt.rows_ok, node.failed + receipt.rows_failed
        node.loading = False
        node.moved()
        self._show(receipt.node, node, node.parts_done == node.parts)

    def going(self, done: Mapping[str, int], loading: Collection[str]) -> None:
        """How far the parts at hand are: images made of each node, and which nodes load models."""
        for name, node in self._nodes.items():
            before = (node.going, node.loading)
            node.going, node.loading = done.get(name, 0), name in loading
            node.moved()
            if (node.going, node.loading) != before:
                self._show(name, node, False)

    def _show(self, name: str, node: _Node, now: bool) -> None:
        if self._bars:
            self._bars.update(self._ids[name], completed=node.so_far, rows=node.text())
        elif now or monotonic() - node.said > _QUIET_SECONDS:
            node.said = monotonic()
            images = "" if now else f"{node.so_far}/{node.images} images, "
            self.say(f"{name:<18} {images}{node.text()}")


def _rounded(seconds: float) -> str:
    """Seconds to two digits, as a person says them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
