"""Where a trained run lies while it is being replaced: what readers find when that was cut short.

A run is the folder `RUNS/<experiment>/<run id>`. A folder cannot be renamed onto another one, so a
new run takes an old one's place in two steps: the old one is moved aside, the new one to its place.
Who is killed in between leaves the old one aside, whole; whoever reads or writes runs next moves it
back. Both wait a level above the runs, where `*/*/metrics.parquet` does not find them.
"""

import shutil
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

# the files of a run, beside those of its head
METRICS, CURVES = "metrics.parquet", "curves.parquet"
DIFFERENCES = "differences.parquet"
PREDICTIONS, VALIDATION = "predictions.parquet", "validation.parquet"
EXPERIMENT, CARD = "experiment.json", "model_card.md"

_ASIDE = ".replaced-"
_PARTIAL = ".partial-"
_AT_WORK = 86_400  # seconds


def partial(folder: Path) -> Path:
    """A new name, for the run that is to lie at `folder`, until it is whole."""
    return _beside(folder, _PARTIAL)


def aside(folder: Path) -> Path:
    """A new name, for the run that lies at `folder`, until another has taken its place."""
    return _beside(folder, _ASIDE)


def unfinished(runs: Path) -> list[Path]:
    """The folders of runs that were never finished, and of those that others have replaced.

    One in which something was written within a day may be at work.
    """
    restore(runs)  # what nothing took the place of
    found = [*runs.glob(f"{_PARTIAL}*"), *runs.glob(f"{_ASIDE}*")]
    return sorted(one for one in found if not at_work(one))


def at_work(folder: Path) -> bool:
    """Whether something was written in a folder within a day, or it is gone by now."""
    try:
        latest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:
        return True
    return latest > time.time() - _AT_WORK


def _beside(folder: Path, kind: str) -> Path:
    return folder.parent.parent / f"{kind}{folder.parent.name}-{folder.name}-{uuid4().hex[:12]}"


def restore(runs: Path) -> None:
    """Moves back every run of this folder that was moved aside, where nothing took its place.

    Nothing is removed. A writer that is at this very moment between its two steps finds the old run
    in its place again, and begins them anew. Where the folder cannot be written, nothing changes.
    """
    for left in runs.glob(f"{_ASIDE}*"):
        experiment, run_id, _ = left.name.removeprefix(_ASIDE).rsplit("-", 2)
        folder = runs / experiment / run_id
        # onto an existing run the rename fails, whenever that came there
        with suppress(OSError):
            left.rename(folder)


def sweep(folder: Path) -> None:
    """Removes what this run replaced, once it is in its place."""
    kind = f"{_ASIDE}{folder.parent.name}-{folder.name}-"
    beside = folder.parent.parent
    # found before the run is seen in its place: what others move aside from now on is theirs
    found = [path for path in beside.glob(f"{_ASIDE}*") if path.name.startswith(kind)]
    if folder.exists():
        for left in found:
            with suppress(OSError):  # under its new name nobody moves back what is half removed
                shutil.rmtree(left.rename(partial(folder)), ignore_errors=True)
