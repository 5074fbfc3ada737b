"""An experiment of the DAG file with all its runs: of its preset, of its sweep, of its seeds."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.head.experiment import Experiment
from pipeline.head.presets import expand
from pipeline.head.run import Result
from pipeline.head.sweep import over_seeds, run_sweep
from pipeline.head.sweep_table import as_plain, render_sweep, with_std
from pipeline.head.table import digits, with_interval
from pipeline.output import write

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Study = dict[str, list[Result]]  # name of a plain experiment -> its runs
_WITH_INTERVALS = 5  # generators; with more the table is too wide for them


def run_study(
    connection: "DuckDBPyConnection",
    experiment: Experiment,
    name: str,
    out: Path,
    fingerprints: Mapping[str, Any],
    say: Callable[[str], None] = lambda line: None,
    again: bool = True,
) -> Study:
    """Every run of an experiment of the DAG file, by the plain experiment that it belongs to.

    Arguments and errors are those of `run_experiment` and `presets.expand`.
    """
    return {
        plain: run_sweep(connection, one, plain, out, fingerprints, say, again)
        for plain, one in expand(connection, experiment, name).items()
    }


def plain_values(study: Study) -> dict[str, object]:
    """The study as JSON values: that of its experiment, or `experiments` by name if several."""
    each = {name: as_plain(results) for name, results in study.items()}
    return next(iter(each.values())) if len(each) == 1 else {"experiments": each}


def render_study(study: Study) -> str:
    """The study as plain text: one experiment's tables, or AP by generator of several."""
    if len(study) == 1:
        return render_sweep(next(iter(study.values())))
    first = next(iter(study.values()))[0].experiment
    stream = io.StringIO()
    write(matrix(study), "table", stream)
    kind = "mean ± sample standard deviation over seeds"
    if all(len(results) == 1 for results in study.values()):
        kind = f"[95 %]: intervals of {first.bootstrap:,} bootstrap resamples"
    stream.write(
        f"average precision by tested generator; *: trained on too, in no mean over the unseen\n"
        f"{kind}\n"
    )
    for name, results in study.items():
        for result in results:
            real, fake = result.trained_on
            stream.write(
                f"{name}: trained on {real:,} real and {fake:,} fake images, seed "
                f"{result.experiment.seed}, saved in {result.folder}\n"
            )
    return stream.getvalue()


def matrix(study: Study) -> pa.Table:
    """AP: a row a method and experiment, a column a tested generator, and the unseen ones' mean.

    Where every experiment tests a generator of its own (leave_one_out), a row a method.
    """
    rows = _rows(study)
    generators = sorted({row["generator"] or "(none)" for row in rows if row["scope"] != "mean"})
    tested = [
        {row["generator"] for row in rows if row["experiment"] == name and row["scope"] != "mean"}
        for name in study
    ]
    apart = sum(map(len, tested)) == len(set().union(*tested))
    lines: dict[tuple[str, ...], dict[str, object]] = {}
    means: dict[tuple[str, ...], list[float]] = {}
    wide = len(generators) > _WITH_INTERVALS
    for row in rows:
        part = row["experiment"].partition(".")[2] or row["experiment"]
        label = ", ".join(filter(None, (part, row["configuration"])))
        key = (row["method"], row["configuration"] if apart else label)
        line = lines.setdefault(key, {})
        if row["scope"] == "mean":
            means.setdefault(key, []).append(row["ap"])
            line["mean of unseen"] = digits(row["ap"]) if apart or wide else _figure(row)
        else:
            figure = digits(row["ap"]) if wide else _figure(row)
            line[row["generator"] or "(none)"] = f"{figure}*" if row["seen"] else figure
    if apart:  # each mean is of one generator: theirs is the one over all
        for key, values in means.items():
            lines[key]["mean of unseen"] = digits(sum(values) / len(values))
    order = sorted(lines, key=lambda key: [method for method, _ in lines].index(key[0]))
    columns: dict[str, list[object]] = {"method": [method for method, _ in order]}
    if not apart or any(label for _, label in order):
        columns["configuration" if apart else "run"] = [label for _, label in order]
    for name in (*generators, "mean of unseen"):
        columns[name] = [lines[key].get(name) for key in order]
    return pa.table(columns)


def _rows(study: Study) -> list[dict[str, Any]]:
    """Figures over seeds where an experiment has several runs, and elsewhere of the only run."""
    rows = []
    for name, results in study.items():
        if len(results) > 1:
            rows += over_seeds(results).to_pylist()
        else:
            own = [*results[0].metrics.to_pylist(), *results[0].means.to_pylist()]
            rows += [{**row, "experiment": name, "configuration": ""} for row in own]
    return rows


def _figure(row: Mapping[str, Any]) -> str | None:
    if "ap_std" in row:
        return with_std(row["ap"], row["ap_std"])
    return with_interval(row, "ap")
