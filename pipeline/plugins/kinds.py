"""What a captioner, a feature and a baseline of the user's own say of themselves.

A stage says it with `pipeline.spec.Stage`, a layout with `pipeline.corpus.layouts.labels.Layout`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

# (matrix, labels, the same of validation, seed) -> a function from a matrix to probabilities
Fit = Callable[
    [np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], Callable[[np.ndarray], np.ndarray]
]


@dataclass(frozen=True)
class Captioner:
    """What writes captions; a node names it, `{stage: caption, model: plugin:NAME}`.

    `load()` is called once in each process, and gives a function from a list of upright RGB
    `PIL.Image` and the node's parameters (`pipeline.models.captioners.generation.Generation`) to as
    many texts. The same image must give the same text, whatever is beside it.
    """

    name: str
    load: Callable[[], Callable[[Sequence[Any], Any], Sequence[str]]]


@dataclass(frozen=True)
class Feature:
    """Numbers of an image that a head is trained on; an experiment names it in `features`.

    `reads`: table -> its columns, of tables with a row an image. `make(rows)` gets these columns of
    some images by table, rows in the same order, and gives their matrix [images, width], finite.
    What it gives of an image must not depend on the others.
    """

    name: str
    reads: Mapping[str, Sequence[str]]
    make: Callable[[Mapping[str, pa.Table]], np.ndarray]


@dataclass(frozen=True)
class Baseline:
    """What a head has to beat: a row of an experiment's table.

    `reads`: features, side by side in this order. `fit(x, y, validation_x, validation_y, seed)`
    gets float32 [n, width] and int8 [n], 0 real, 1 fake, of the training and of the validation
    images, and gives a function from float32 [m, width] to the probability of fake [m].
    """

    name: str
    reads: tuple[str, ...]
    fit: Fit
