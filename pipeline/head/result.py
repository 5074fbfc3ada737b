"""All runs of one experiment: each combination of its sweep's values, and what seeds change."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.dag.experiment import Experiment
from pipeline.head.figures.evaluate import CHOICES, LESS_CLEAN
from pipeline.head.figures.metrics import CHOSEN, NAMES
from pipeline.head.report.run_table import by_method
from pipeline.head.run import Result, run_experiment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

AVERAGED = (*NAMES, *CHOICES, *CHOSEN, *LESS_CLEAN)
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
    }
)


def run_sweep(
    connection: "DuckDBPyConnection",
    experiment: Experiment,
    name: str,
    out: Path,
    fingerprints: Mapping[str, Any],
    say: Callable[[str], None] = lambda line: None,
    again: bool = True,
    memory: int | None = None,
) -> list[Result]:
    """Every run of an experiment, the seeds of a configuration in a row: see `run_experiment`."""
    runs = experiment.expand()
    results = []
    for number, one in enumerate(runs, 1):
        if len(runs) > 1:
            say(f"{name}: run {number} of {len(runs)}, seed {one.seed}")
        results.append(run_experiment(connection, one, name, out, fingerprints, say, again, memory))
    return results


def over_seeds(results: Sequence[Result]) -> pa.Table:
    """OVER_SEEDS: mean and standard deviation of each figure over the runs that differ in seed.

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
        for name in AVERAGED:
            values = [row[name] for row in rows if row[name] is not None]
            line[name] = float(np.mean(values)) if values else None
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
