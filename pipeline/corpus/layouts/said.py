"""The labels of files: what columns or files beside an image say of it, over what its path says."""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from pipeline.corpus.layouts.labels import Labels, Misfit
from pipeline.corpus.layouts.registry import Reading

_OWN = ("label", "generator", "dataset", "split", "class_name", "released")
_WORDS = {0: "real", 1: "fake"}


def labels_of(reading: Reading, files: pa.Table) -> list[Labels | Misfit]:
    """The labels of each of the files (schema `sources.found.FILES`), or why it has none.

    What a column says is taken, and the path says the rest. A path that fits no layout is no matter
    where a column has the label. Where both say one, they must agree. What is the same for several
    files is one object.
    """
    by_path = reading.read(files["path"].to_pylist())
    columns = [files[name] for name in (*_OWN, "problem")]
    if all(column.null_count == len(files) for column in columns):
        return by_path
    known: dict[tuple, Labels | Misfit] = {}
    found = []
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    for one, row in zip(by_path, rows, strict=True):
        key = (id(one), *row)
        if key not in known:
            known[key] = _together(one, row[:-1], row[-1], reading)
        found.append(known[key])
    return found


def _together(
    path: Labels | Misfit, row: Sequence, problem: str | None, reading: Reading
) -> Labels | Misfit:
    if problem is not None:
        return Misfit(problem)
    said = {name: value for name, value in zip(_OWN, row, strict=True) if value is not None}
    if isinstance(path, Misfit):
        return Labels(**{"dataset": reading.dataset, **said}) if "label" in said else path
    label = said.get("label", path.label)
    if path.label is not None and label != path.label:
        return Misfit(
            f"its path says {_WORDS[path.label]}, and what comes with it says {_WORDS[label]}"
        )
    return replace(path, **said)
