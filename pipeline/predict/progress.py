"""How far a folder is: a bar on a terminal, a line now and then elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_FEW = 8  # files of which nothing is said
_QUIET = 10.0  # seconds between two lines


@contextmanager
def progress(count: int) -> Iterator[Callable[[int], None]]:
    """Something that hears how many more of `count` images are done, and shows it on stderr."""
    console = Console(stderr=True, highlight=False)
    if count <= _FEW:
        yield lambda more: None
    elif console.is_terminal:
        columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task("images", total=count)
            yield lambda more: bars.advance(task, more)
    else:
        done, said = 0, monotonic()

        def hear(more: int) -> None:
            nonlocal done, said
            done += more
            if monotonic() - said > _QUIET:
                said = monotonic()
                console.print(f"{done:,} of {count:,} images", markup=False)

        yield hear
