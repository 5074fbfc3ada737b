"""An experiment's matrices in flat files: written once, part by part, and read at every pass."""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.vectors import memory as sizes
from pipeline.head.vectors.matrices import check_width, part_matrices
from pipeline.head.vectors.parts import Parts
from pipeline.head.vectors.row_reader import InMemory, Source
from pipeline.head.vectors.stream import Column, Streamed, least_bytes

_HELD = 12  # bytes that fitting takes for a number that is held, its copies included
_PART_COPIES = 3  # of a part's vectors: as read, as computed, as selected


@dataclass(frozen=True)
class Spilled:
    """Samples in files: see `pipeline.head.vectors.sides.Samples`.

    `columns`: (side, matrix) -> file. `order`: side -> int64 [images], the image that each row of
    the side's files is of. `rows`: side -> int64 [rows], the image of each row.
    """

    columns: Mapping[tuple[str, str], Column]
    order: Mapping[str, np.ndarray]
    rows: Mapping[str, np.ndarray]
    memory: int

    def take(self, names: tuple[str, ...], side: str) -> Source:
        """See Samples. A matrix that is small beside the memory is held, and not streamed."""
        columns = [self.columns[side, name] for name in names]
        order = self.order[side]
        streamed = Streamed(columns, order, self.memory // 2)
        if _HELD * streamed.width * len(order) > self.memory // 16:
            return streamed
        x = np.empty((len(order), streamed.width), np.float32)
        done = 0
        for block in streamed.blocks():
            x[order[done : done + len(block)]] = block.numpy()
            done += len(block)
        return InMemory(x)

    def spread(self, side: str, source: Source, p: np.ndarray) -> np.ndarray:
        """See Samples."""
        image = np.empty_like(p)
        image[source.order] = p
        return image[self.rows[side]]


def spill(
    parts: Parts,
    experiment: Experiment,
    counts: Mapping[str, int],
    rows: Mapping[str, np.ndarray],
    memory: int,
    folder: Path,
) -> Spilled:
    """Writes the matrices of all images of the parts into files of `folder`.

    `counts`: images of each side, in the order of their numbers; `rows`: see Spilled. Numbers are
    kept as they are: float16 where the cache has such, else float32. Raises UserError when the disk
    is full.
    """
    first = part_matrices(parts.each[0], experiment, parts)
    total = sum(x.itemsize * x.shape[1] for x in first.values()) * parts.count
    free = shutil.disk_usage(folder).free
    if total > free:
        what = f"streaming needs {sizes.words(total)} of disk, and {sizes.words(free)} are free"
        raise _disk(what, folder)
    ends = np.cumsum(list(counts.values()))
    bounds = dict(zip(counts, zip(ends - list(counts.values()), ends, strict=True), strict=True))
    order: dict[str, list[np.ndarray]] = {side: [] for side in counts}
    paths = {(side, m): folder / f"{side}.{n}" for side in counts for n, m in enumerate(first)}
    try:
        with ExitStack() as opened:
            files = {k: opened.enter_context(path.open("wb")) for k, path in paths.items()}
            for number, part in enumerate(parts):
                x = part_matrices(part, experiment, parts) if number else first
                for name, values in x.items():
                    check_width(name, part, values.shape[1], first[name].shape[1])
                for side, (start, stop) in bounds.items():
                    own = np.flatnonzero((part.rows >= start) & (part.rows < stop))
                    order[side].append(part.rows[own] - start)
                    for name, values in x.items():
                        files[side, name].write(np.ascontiguousarray(values[own]).tobytes())
    except OSError as error:
        raise _disk(
            f"streaming cannot write its files: {error.strerror or error}", folder
        ) from error
    columns = {
        (side, name): Column(path, counts[side], first[name].shape[1], first[name].dtype)
        for (side, name), path in paths.items()
    }
    joined = {side: np.concatenate(some) for side, some in order.items()}
    return Spilled(columns, joined, rows, memory)


def check_memory(parts: Parts, trained_on: int, experiment: Experiment, memory: int) -> None:
    """UserError when a part does not fit, or what an epoch mixes: it names the least that does."""
    first = part_matrices(parts.each[0], experiment, parts)
    read = experiment.tables(parts.tables)
    part = max(sum(part.files[table].stat().st_size for table in read) for part in parts)
    least = _PART_COPIES * part
    for names in experiment.reads.values():
        row = sum(first[name].itemsize * first[name].shape[1] for name in names)
        least = max(least, 2 * least_bytes(row, trained_on, experiment.head.batch_size))
    if memory < least:
        raise UserError(
            f"{sizes.words(memory)} are too little memory to stream in: the largest part, and what "
            f"is shuffled at a time, need {sizes.words(least)}",
            "--memory",
            f"give --memory {sizes.words(least)} or more",
        )


def _disk(what: str, folder: Path) -> UserError:
    return UserError(
        what, str(folder), "set TMPDIR to a folder with more room, or give --memory more"
    )
