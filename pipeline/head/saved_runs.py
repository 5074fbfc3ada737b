"""The runs of a DAG that lie in a store: read back as they were measured, and nothing trained."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.figures import evaluate
from pipeline.head.result import Result, Study
from pipeline.head.rows.presets import expand
from pipeline.store.run_folders import DIFFERENCES, EXPERIMENT, METRICS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.dag.graph import Dag

_SAVED = """
    select experiment, run_id, configuration, seed, max(saved) as saved
    from runs
    where current and n is not null
    group by experiment, run_id, configuration, seed
    qualify row_number() over (
        partition by experiment, configuration, seed order by max(saved) desc, run_id
    ) = 1
    order by experiment, seed, saved desc
"""


def saved_studies(
    connection: "DuckDBPyConnection", dag: "Dag", runs: Path, names: Iterable[str]
) -> dict[str, Study]:
    """Of each experiment of the DAG file its runs, by the plain experiments that it stands for.

    `connection`: one of `pipeline.query.open_store.connect`. `runs`: the folder of all runs. Those
    count that were trained on the nodes as they are, with the configuration that the file asks for;
    where there is none of it (after `--partial`), with that of the newest. Of a configuration and
    seed the newest. An experiment without runs has an empty study. Raises UserError for a run whose
    files cannot be read.
    """
    rows = connection.sql(_SAVED).to_arrow_table().to_pylist()
    found: dict[str, Study] = {}
    for name in names:
        asked = _asked(connection, dag.experiments[name], name)
        plain = dict.fromkeys(row["experiment"] for row in rows if _belongs(row, name))
        order = [one for one in asked if one in plain] + [one for one in plain if one not in asked]
        found[name] = {
            one: [
                _read(runs / one / row["run_id"])
                for row in _chosen([r for r in rows if r["experiment"] == one], asked.get(one))
            ]
            for one in order
        }
    return found


def _belongs(row: dict[str, Any], name: str) -> bool:
    return row["experiment"] == name or row["experiment"].startswith(f"{name}.")


def _asked(
    connection: "DuckDBPyConnection", experiment: Experiment, name: str
) -> dict[str, Experiment]:
    try:
        return expand(connection, experiment, name)
    except UserError:  # a preset whose generators are not there any more: its runs are
        return {}


def _chosen(rows: list[dict[str, Any]], experiment: Experiment | None) -> list[dict[str, Any]]:
    """The rows of one plain experiment that were made as it is now, in the sweep's order."""
    asked = [] if experiment is None else experiment.expand()
    texts = [json.dumps(one.configuration, sort_keys=True) for one in asked]
    wanted = {(text, one.seed): at for at, (text, one) in enumerate(zip(texts, asked, strict=True))}
    own = [row for row in rows if (row["configuration"], row["seed"]) in wanted]
    if own:
        return sorted(own, key=lambda row: wanted[row["configuration"], row["seed"]])
    newest = max(rows, key=lambda row: row["saved"])["configuration"]
    return [row for row in rows if row["configuration"] == newest]


def _read(folder: Path) -> Result:
    """One run as `run_experiment` returned it."""
    try:
        about = json.loads((folder / EXPERIMENT).read_text(encoding="utf-8"))
        metrics, differences = (
            pq.read_table(folder / name, partitioning=None) for name in (METRICS, DIFFERENCES)
        )
        sides = about["real_and_fake"]
        return Result(
            Experiment.model_validate(about["config"]),
            about["experiment"],
            about["run_id"],
            folder,
            tuple(sides["train"]),
            tuple(sides["validation"]),
            tuple(about["overlap"]),
            tuple(f"{side}: {note}" for side, notes in about["left_out"].items() for note in notes),
            *evaluate.split(metrics),
            differences,
            None,
        )
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"the run is damaged, or of another version: {error!r}",
            str(folder),
            "`item train DAG` trains it again",
        ) from error
