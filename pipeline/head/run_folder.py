"""A run's folder, written whole or not at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import UserError


def publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Has a run written beside its place and renames it: a killed one leaves no half one there.

    `folder`: `RUNS/<experiment>/<run id>`; one that is there is replaced. Raises UserError when the
    disk refuses, and then keeps the former one.
    """
    # a level above the runs, where `*/*/metrics.parquet` does not find them
    beside, name = folder.parent.parent, f"{folder.parent.name}-{folder.name}-{os.getpid()}"
    partial, replaced = beside / f".partial-{name}", beside / f".replaced-{name}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        write(partial)
        for path in partial.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if folder.exists():  # a folder cannot be renamed onto another one
            folder.rename(replaced)
        partial.rename(folder)
    except OSError as error:
        raise UserError(
            f"the run cannot be saved: {error}",
            str(folder),
            "free some space or give a --store that can be written, and train again",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
