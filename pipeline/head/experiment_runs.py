"""An experiment of the DAG file with all its runs: of its preset, of its sweep, of its seeds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.dag.experiment import Experiment
from pipeline.head.result import Result, Study
from pipeline.head.rows.presets import expand
from pipeline.head.run import run_experiment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def run_study(
    connection: "DuckDBPyConnection",
    experiment: Experiment,
    name: str,
    out: Path,
    fingerprints: Mapping[str, Any],
    say: Callable[[str], None] = lambda line: None,
    again: bool = True,
    memory: int | None = None,
    dag: str = "",
) -> Study:
    """Every run of an experiment of the DAG file, by the plain experiment that it belongs to.

    Arguments and errors are those of `run_experiment` and `presets.expand`.
    """
    return {
        plain: run_sweep(connection, one, plain, out, fingerprints, say, again, memory, dag)
        for plain, one in expand(connection, experiment, name).items()
    }


def run_sweep(
    connection: "DuckDBPyConnection",
    experiment: Experiment,
    name: str,
    out: Path,
    fingerprints: Mapping[str, Any],
    say: Callable[[str], None] = lambda line: None,
    again: bool = True,
    memory: int | None = None,
    dag: str = "",
) -> list[Result]:
    """Every run of an experiment, the seeds of a configuration in a row: see `run_experiment`."""
    runs = experiment.expand()
    results = []
    for number, one in enumerate(runs, 1):
        if len(runs) > 1:
            say(f"{name}: run {number} of {len(runs)}, seed {one.seed}")
        results.append(
            run_experiment(connection, one, name, out, fingerprints, say, again, memory, dag)
        )
    return results
