"""An experiment's images as its methods see them: in memory when they fit, else in files."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from pipeline.dag.experiment import Experiment
from pipeline.head.rows.selection import Selection
from pipeline.head.vectors import memory as sizes
from pipeline.head.vectors.matrices import fill, part_matrices
from pipeline.head.vectors.parts import Parts, locate
from pipeline.head.vectors.row_reader import InMemory, Source
from pipeline.head.vectors.spill import check_memory, spill

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SIDES = ("train", "validation", "test")
# What fitting takes beside a matrix that is in memory: its columns put side by side, standardised.
COPIES = 3


class Samples(Protocol):
    """Matrices by name, of the images of each side."""

    def take(self, names: tuple[str, ...], side: str) -> Source:
        """Some matrices side by side, of one side's images, each once."""

    def spread(self, side: str, source: Source, p: np.ndarray) -> np.ndarray:
        """[rows of the side]: what [images], in the order of `source`, says of each row."""


@dataclass(frozen=True)
class Held:
    """Samples in memory. `x`: matrix -> float32 [images of the sides in turn, width].

    `counts`: images of each side. `rows`: side -> int64 [rows], the image of each row.
    """

    x: Mapping[str, np.ndarray]
    counts: Mapping[str, int]
    rows: Mapping[str, np.ndarray]

    def take(self, names: tuple[str, ...], side: str) -> InMemory:
        """See Samples."""
        ends = dict(zip(self.counts, np.cumsum(list(self.counts.values())).tolist(), strict=True))
        some = slice(ends[side] - self.counts[side], ends[side])
        parts = [self.x[name][some] for name in names]
        return InMemory(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))

    def spread(self, side: str, source: Source, p: np.ndarray) -> np.ndarray:
        """See Samples."""
        return p[self.rows[side]]


@contextmanager
def samples(
    connection: "DuckDBPyConnection",
    selection: Selection,
    experiment: Experiment,
    memory: int | None,
    say: Callable[[str], None],
) -> Iterator[Samples]:
    """The samples of an experiment, while it lasts; temporary files go with it.

    `memory`: bytes that vectors may take (None: `memory.default`). They are held when they fit with
    what fitting needs beside them, and otherwise put into flat files in the system's temporary
    folder, once. Raises UserError as `locate`, `part_matrices`, `check_memory` and `spill` do.
    """
    memory = sizes.default() if memory is None else memory
    counts, rows, ids = {}, {}, []
    for name, side in selection.sides.items():
        encoded = side.table["image_id"].combine_chunks().dictionary_encode()
        counts[name], rows[name] = len(encoded.dictionary), encoded.indices.to_numpy()
        ids.append(encoded.dictionary)
    parts = locate(connection, pa.concat_arrays(ids))
    parts.check(experiment.tables(parts.tables))
    need = _need(parts, experiment)
    if need <= memory:
        yield Held(fill(parts, experiment), counts, rows)
        return
    check_memory(parts, counts["train"], experiment, memory)
    with tempfile.TemporaryDirectory(prefix="item-train-") as folder:
        say(f"streaming: the vectors would take {sizes.words(need)}, of {sizes.words(memory)}")
        yield spill(parts, experiment, counts, rows, memory, Path(folder))


def _need(parts: Parts, experiment: Experiment) -> int:
    """Bytes that holding all images takes, by the widths of the first part."""
    first = part_matrices(parts.each[0], experiment, parts)
    widths = {name: x.shape[1] for name, x in first.items()}
    widest = max(sum(widths[name] for name in names) for names in experiment.reads.values())
    return 4 * parts.count * (sum(widths.values()) + (COPIES - 1) * widest)
