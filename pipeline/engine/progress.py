"""Live progress of a run: bars on a terminal, plain lines elsewhere."""

import sys
from time import monotonic
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pipeline.engine.task import Receipt

_QUIET_SECONDS = 10.0  # between two plain lines about the same node


class Reporter:
    """Shows, for every node, parts and rows done and failed. Use as a context manager."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._ids: dict[str, TaskID] = {}
        self._rows: dict[str, list[int]] = {}  # node -> rows ok, failed
        self._said: dict[str, float] = {}
        self._started: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<18}"),
                BarColumn(bar_width=12),
                TextColumn("{task.completed:>4}/{task.total} parts  {task.fields[rows]}"),
                TimeRemainingColumn(),
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
        self.console.print(text, markup=False)
        sys.stderr.flush()

    def node(self, name: str, done: int, total: int) -> None:
        """Announces a node: `done` of its `total` parts are there already."""
        self._rows[name] = [0, 0]
        self._said[name] = self._started[name] = monotonic()
        if self._bars:
            self._ids[name] = self._bars.add_task(name, total=total, completed=done, rows="")
        elif done == total:
            self.say(f"{name:<18} all {total} parts are in the store")

    def part(self, receipt: Receipt, done: int, total: int) -> None:
        """Counts a finished part."""
        rows = self._rows[receipt.node]
        rows[0] += receipt.rows_ok
        rows[1] += receipt.rows_failed
        now = monotonic()
        text = f"{rows[0] + rows[1]} in, {rows[0]} ok, {rows[1]} failed"
        if self._bars:
            self._bars.update(self._ids[receipt.node], completed=done, rows=text)
        elif done == total or now - self._said[receipt.node] > _QUIET_SECONDS:
            self._said[receipt.node] = now
            seconds = now - self._started[receipt.node]
            self.say(f"{receipt.node:<18} {done}/{total} parts  {text}  ({seconds:.0f} s)")
