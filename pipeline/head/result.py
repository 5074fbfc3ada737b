"""What a finished run is, and what the runs of one experiment say together."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.dag.experiment import Experiment
from pipeline.head.figures.bootstrap import NAMES as RESAMPLED
from pipeline.head.figures.evaluate import CHOICES, LESS_CLEAN
from pipeline.head.figures.metrics import CHOSEN, NAMES

AVERAGED = (*NAMES, *CHOICES, *CHOSEN, *LESS_CLEAN)
ENDS = tuple(f"{name}_{end}" for name in RESAMPLED for end in ("low", "high"))
OVER_SEEDS = pa.schema(
    {
        "experiment": pa.string(),
        "configuration": pa.string(),  # the values that differ between the runs; '' if none do
        "method": pa.string(),
        "variant": pa.string(),
        "scope": pa.string(),  # as in METRICS
        "generator": pa.string(),
        "generators": pa.int64(),
        "seen": pa.bool_(),
        "runs": pa.int64(),  # seeds
        **dict.fromkeys(AVERAGED, pa.float64()),  # means over the runs that have the figure
        # sample standard deviations; null of fewer than two runs
        **{f"{name}_std": pa.float64() for name in AVERAGED},
        # means of the ends of the runs' own 95 % intervals: other test images, and not other seeds
        **dict.fromkeys(ENDS, pa.float64()),
    }
)


@dataclass(frozen=True)
class Result:
    """A finished run: where it lies, and what it measured."""

    experiment: Experiment
    name: str
    run_id: str
    folder: Path
    trained_on: tuple[int, int]  # real and fake images
    validated_on: tuple[int, int]
    overlap: tuple[str | None, ...]  # generators with fakes in training and in the test
    notes: tuple[str, ...]  # what was left out, and why
    metrics: pa.Table  # of metrics.parquet, a row a method and test generator
    means: pa.Table  # and a row a method, over the unseen generators
    differences: pa.Table  # of differences.parquet, from the methods that are compared to
    seconds: float | None  # None: these very inputs gave this run before


Study = dict[str, list[Result]]  # name of a plain experiment -> its runs


def by_method(result: Result) -> list[list[dict[str, Any]]]:
    """Of each method its rows by generator, and then its means over the unseen if there are any."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for table in (result.metrics, result.means):
        for row in table.to_pylist():
            rows.setdefault(row["method"], []).append(row)
    return list(rows.values())


def own_rows(result: Result) -> list[dict[str, Any]]:
    """All rows in the variant of the images that the run was trained on."""
    rows = [row for method_rows in by_method(result) for row in method_rows]
    return [row for row in rows if row["variant"] == result.experiment.variant]


def over_seeds(results: Sequence[Result]) -> pa.Table:
    """OVER_SEEDS: means, deviations and intervals of each figure over runs that differ in seed.

    A row a configuration, method, variant and generator (or mean over the unseen ones), in the
    runs' order.
    """
    labels = configurations(results)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result, label in zip(results, labels, strict=True):
        for method_rows in by_method(result):
            for row in method_rows:
                key = (result.name, label, *(row[name] for name in OVER_SEEDS.names[2:8]))
                groups.setdefault(key, []).append(row)
    lines = []
    for key, rows in groups.items():
        line = dict(zip(OVER_SEEDS.names, key, strict=False)) | {"runs": len(rows)}
        for name in (*AVERAGED, *ENDS):
            values = [row[name] for row in rows if row[name] is not None]
            line[name] = float(np.mean(values)) if values else None
            if name in AVERAGED:
                line[f"{name}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        lines.append(line)
    # a mean over other generators, where a configuration selects others, has a row of its own
    return pa.Table.from_pylist(lines, OVER_SEEDS)


def configurations(results: Sequence[Result]) -> list[str]:
    """Of each run the values, such as `hidden [256]`, of the keys in which the runs differ.

    Seeds are no part of it.
    """
    flat = []
    for result in results:
        config = result.experiment.model_dump(mode="json", exclude={"seed", "sweep"})
        head = config.pop("head")
        flat.append({**config, **head})
    keys = [key for key in flat[0] if len({json.dumps(one[key]) for one in flat}) > 1]
    return [", ".join(f"{key} {one[key]}" for key in keys) for one in flat]
