"""The runs of an experiment of the DAG file as a person reads them, and as plain values."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline.head.figures.verdict import files_tell
from pipeline.head.figures.wording import digits, with_interval
from pipeline.head.report.run_table import prose
from pipeline.head.report.sweep_table import compared, render_sweep, with_std
from pipeline.head.result import Study, configurations, over_seeds, own_rows
from pipeline.output.table import lines

_MEAN = "mean of unseen"
_WITH_INTERVALS = 5  # generators; with more the table is too wide for them


def plain_tables(study: Study) -> dict[str, list[dict[str, Any]]]:
    """The study as rows of plain values: its `runs`, and their `metrics`, `means`, `differences`.

    Each row names its `experiment` and `run_id`.
    """
    tables: dict[str, list[dict[str, Any]]] = {
        "runs": [],
        "metrics": [],
        "means": [],
        "differences": [],
    }
    for name, results in study.items():
        for result, configuration in zip(results, configurations(results), strict=True):
            run = {"experiment": name, "run_id": result.run_id}
            about = {"seed": result.experiment.seed, "configuration": configuration}
            tables["runs"].append({**run, **about, "folder": str(result.folder)})
            for table in ("metrics", "means", "differences"):
                tables[table] += [{**run, **row} for row in getattr(result, table).to_pylist()]
    return tables


def render_study(study: Study, width: int | None = None) -> str:
    """The study as plain text: one experiment's tables, or AP by generator of several.

    `width`: the columns of a terminal, into which texts and tables then fit.
    """
    if len(study) == 1:
        return render_sweep(next(iter(study.values())), width)
    first = next(iter(study.values()))[0].experiment
    said: list[str] = []
    results = [result for several in study.values() for result in several]
    told = [(r, words) for r in results if (words := files_tell(own_rows(r)))]
    if told:
        run, words = told[0]
        many = f"in {len(told)} of {len(results)} runs, such as {run.name}:"
        said += prose([many, words], width)
    said += lines(matrix(study), width, ("method", "run", "configuration", _MEAN))
    kind = "mean ± sample standard deviation over seeds"
    if all(len(several) == 1 for several in study.values()):
        kind = f"[95 %]: intervals of {first.bootstrap:,} bootstrap resamples"
    last = [
        "average precision by tested generator; *: trained on too, in no mean over the unseen",
        kind,
        *compared(results),
    ]
    for name, several in study.items():
        for result in several:
            real, fake = result.trained_on
            last.append(
                f"{name}: trained on {real:,} real and {fake:,} fake images, seed "
                f"{result.experiment.seed}, saved in {result.folder}"
            )
            last += [f"  {note}" for note in result.notes if ": partial" in note]
    return "".join(f"{line}\n" for line in [*said, *prose(last, width)])


def matrix(study: Study) -> pa.Table:
    """AP: a row a method and experiment, a column a tested generator, and the unseen ones' mean.

    A row each variant, where images are tested in several. Where every experiment tests a generator
    of its own (leave_one_out), a row a method.
    """
    rows = _rows(study)
    several = len({row["variant"] for row in rows}) > 1
    generators = sorted({_column(row) for row in rows} - {_MEAN})
    apart = _apart(rows, len(study))
    wide = len(generators) > _WITH_INTERVALS
    lines: dict[tuple[str, str], dict[str, str | None]] = {}
    means: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        experiment = row["experiment"].partition(".")[2] or row["experiment"]
        label = [] if apart else [experiment]
        variant = row["variant"] if several else None
        key = (row["method"], ", ".join([*label, *filter(None, [row["configuration"], variant])]))
        figure = digits(row["ap"]) if wide else _figure(row)
        star = "*" if row["seen"] and figure else ""
        lines.setdefault(key, {})[_column(row)] = figure and f"{figure}{star}"
        if row["scope"] == "mean" and row["ap"] is not None:
            means.setdefault(key, []).append(row["ap"])
    if apart:  # each mean is of one generator: the mean of these is the one over all
        for key, values in means.items():
            lines[key][_MEAN] = digits(sum(values) / len(values))
    lines |= _chance(rows, [label for _, label in lines], apart)
    methods = list(dict.fromkeys(method for method, _ in lines))
    order = sorted(lines, key=lambda key: methods.index(key[0]))
    columns: dict[str, list[str | None]] = {"method": [method for method, _ in order]}
    if any(label for _, label in order):
        columns["configuration" if apart else "run"] = [label for _, label in order]
    for name in (*generators, _MEAN):
        columns[name] = [lines[key].get(name) for key in order]
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _chance(
    rows: list[dict[str, Any]], labels: list[str], apart: bool
) -> dict[tuple[str, str], dict[str, str | None]]:
    """The AP of guessing, a line below the methods; where runs differ in it, nothing."""
    found: dict[str, set[float]] = {}
    for row in rows:
        if row["chance"] is not None:
            found.setdefault(_column(row), set()).add(row["chance"])
    if apart and _MEAN in found:  # each is of one generator
        own = [value for name, values in found.items() if name != _MEAN for value in values]
        found[_MEAN] = {sum(own) / len(own)}
    line = {name: {digits(value) for value in each} for name, each in found.items()}
    same = {name: each.pop() for name, each in line.items() if len(each) == 1}
    return {("chance", "" if any(labels) else labels[0]): same} if same else {}


def _column(row: Mapping[str, Any]) -> str:
    return _MEAN if row["scope"] == "mean" else row["generator"] or "(none)"


def _apart(rows: list[dict[str, Any]], count: int) -> bool:
    """Whether each of `count` experiments tests one generator, and no two the same."""
    tested = {(row["experiment"], row["generator"]) for row in rows if row["scope"] != "mean"}
    return len(tested) == len({generator for _, generator in tested}) == count


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
