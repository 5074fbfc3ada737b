"""A run: every head and baseline of one experiment, trained, tested, and saved in one folder.

    OUT/<experiment>/<run id>/
        head.safetensors, head.json   the MLP on all features of the experiment
        method-N.safetensors, .json   the other methods that are weights alone, by their place
        model_card.md                 what a reader of the head must know
        experiment.json               configuration, SQL, fingerprints, counts
        curves.parquet                a row a head and epoch
        validation.parquet            a row a method and validation image: what was chosen on
        predictions.parquet           a row a method and test row
        metrics.parquet               a row a method and test generator, and a mean a method
        differences.parquet           a row a method, method compared to, metric, and the same

The run id is a hash of the configuration, the fingerprints and the selected rows: the same
experiment on the same data replaces its own folder, any other makes a new one.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dag.experiment import Experiment
from pipeline.dag.inputs import BASELINES, MATRICES
from pipeline.errors import UserError
from pipeline.head.figures import evaluate
from pipeline.head.methods.foreign import digests
from pipeline.head.report.card import card
from pipeline.head.result import Result
from pipeline.head.rows import selection as rows
from pipeline.head.run_folder import check_writable, publish
from pipeline.plugins import offered
from pipeline.store.run_folders import (
    CARD,
    CURVES,
    DIFFERENCES,
    EXPERIMENT,
    METRICS,
    PREDICTIONS,
    VALIDATION,
    restore,
)
from pipeline.version import __version__

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_VERSION = 11  # raised when the same experiment on the same data would give other numbers
_DIGESTED = 65_536
_LIBRARIES = ("torch", "scikit-learn", "numpy", "duckdb", "pyarrow")


def run_experiment(
    connection: "DuckDBPyConnection",
    experiment: Experiment,
    name: str,
    out: Path,
    fingerprints: Mapping[str, Any],
    say: Callable[[str], None] = lambda line: None,
    again: bool = True,
    memory: int | None = None,
    dag: str = "",
) -> Result:
    """Trains and tests every method of an experiment on cached features, and saves the run.

    `connection`: one of `pipeline.query.questions.connect`. `out`: the folder of all runs.
    `fingerprints`: JSON values that say what the features were made from (node -> fingerprint),
    saved with the head. `say` gets progress lines. Unless `again`, a run that the same inputs gave
    before is read, not trained, and neither torch nor scikit-learn is imported. `memory`: bytes
    that vectors may take; what does not fit is streamed (`pipeline.head.vectors.sides`). `dag`: by
    whose name it is found again. Raises UserError for what `rows.select`, `samples` and `train`
    refuse, for a name that is no folder name, and for a folder that cannot be written.
    """
    started = perf_counter()
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise UserError(
            f"'{name}' cannot be the name of a run's folder",
            f"experiments.{name}",
            "use letters, digits, '_', '-' and '.'",
        )
    selection = rows.select(connection, experiment, name)
    selection = replace(selection, train=_with_notes(selection.train, experiment))
    about = _about(experiment, name, selection, fingerprints, dag)
    about["made_by"] = _made_by(connection)
    folder = out / name / about["run_id"]
    restore(out)
    measured = None if again else _saved(folder)
    seconds = None
    if measured is None:
        check_writable(folder)  # found after training, it would have been for nothing
        numbers = (side.table.num_rows for side in selection.sides.values())
        say("{:,} training, {:,} validation images, {:,} test rows".format(*numbers))
        measured = _compute(connection, experiment, selection, about, folder, memory, say)
        seconds = perf_counter() - started
    notes = (
        f"{'training' if side == 'train' else side}: {note}"
        for side, found in selection.sides.items()
        for note in found.notes
    )
    return Result(
        experiment,
        name,
        about["run_id"],
        folder,
        _counts(selection.train),
        _counts(selection.validation),
        tuple(selection.overlap),
        tuple(notes),
        *evaluate.split(measured[METRICS]),
        measured[DIFFERENCES],
        seconds,
    )


def _with_notes(train: rows.Rows, experiment: Experiment) -> rows.Rows:
    """The training rows, and what k-NN does with them when they are few or many."""
    count, k, among = train.table.num_rows, experiment.neighbours, experiment.neighbours_among
    notes = list(train.notes)
    if among is not None and count > among:
        notes.append(f"k-NN looks among {among:,} of {count:,} images (`neighbours_among`)")
    if k != "auto" and count < k:  # a small sample must not stop the others
        notes.append(f"k-NN takes all {count:,} images, fewer than {k:,}")
    return replace(train, notes=tuple(notes))


def _counts(side: rows.Rows) -> tuple[int, int]:
    num_fake = int(side.label.sum())
    return len(side.label) - num_fake, num_fake


def _saved(folder: Path) -> dict[str, pa.Table] | None:
    """The tables of what was measured, by file, of a run that is there and not damaged."""
    try:
        return {
            name: pq.read_table(folder / name, partitioning=None) for name in (METRICS, DIFFERENCES)
        }
    except (FileNotFoundError, pa.ArrowInvalid):
        return None


def _compute(
    connection: "DuckDBPyConnection",
    experiment: Experiment,
    selection: rows.Selection,
    about: dict[str, Any],
    folder: Path,
    memory: int | None,
    say: Callable[[str], None],
) -> dict[str, pa.Table]:
    """Trains, chooses, tests and saves in `folder`; returns what was measured, by file."""
    from pipeline.head.figures.choose import choose
    from pipeline.head.methods.fit import fit
    from pipeline.head.methods.mlp import save_head, stem_of
    from pipeline.head.vectors.sides import Held, samples

    train, validation, test = selection.train, selection.validation, selection.test
    labels = {"train": train.label, "validation": validation.label}
    with samples(connection, selection, experiment, memory, say) as found:
        about["streamed"] = not isinstance(found, Held)
        matrices = dict.fromkeys(chain(*experiment.reads.values()))
        widths = {name: found.take((name,), "validation").width for name in matrices}
        fitted = fit(found, labels, experiment, say)
    choices = {
        method: choose(validation.label, p, experiment.sure_at)
        for method, p in fitted.validation.items()
    }
    say(f"measuring, with {experiment.bootstrap:,} bootstrap resamples")
    metrics, differences = evaluate.measure(
        test.table,
        fitted.test,
        selection.known,
        experiment.compare_to,
        experiment.bootstrap,
        experiment.seed,
        choices,
    )
    metrics = _with_run(metrics, about, experiment, fitted.chosen)
    measured = {METRICS: metrics, DIFFERENCES: differences}
    counts = {name: _counts(side) for name, side in selection.sides.items()}
    once = pc.equal(test.table["variant"], experiment.variant)  # the card counts images
    counts["test"] = _counts(replace(test, table=test.table.filter(once)))
    method = "+".join(experiment.features)
    described = card(about, metrics, differences, fitted.curves, counts, method)

    def write(folder: Path) -> None:
        """The run's files, into a folder that `publish` then moves to its place."""
        how = {key: getattr(experiment, key) for key in ("representation", "pooling", "top_k")}
        for method, head in fitted.heads.items():
            read = {name: widths[name] for name in experiment.reads[method]}
            stem = stem_of(experiment, method)
            save_head(head, folder, read, how, about["fingerprints"], method, stem)
        text = json.dumps(about, indent=1)
        (folder / EXPERIMENT).write_text(text + "\n", encoding="utf-8")
        (folder / CARD).write_text(described, encoding="utf-8")
        for name, table in {**measured, CURVES: fitted.curves}.items():
            pq.write_table(table, folder / name)
        for name, side, p in (
            (PREDICTIONS, test, fitted.test),
            (VALIDATION, validation, fitted.validation),
        ):
            _write_predictions(folder / name, side.table, p)

    publish(folder, write)
    return measured


def _write_predictions(path: Path, side: pa.Table, p: dict[str, np.ndarray]) -> None:
    """Method by method: all methods' rows at once would be many times the side."""
    with pq.ParquetWriter(path, evaluate.PREDICTIONS, compression="zstd") as writer:
        for method, values in p.items():
            writer.write_table(evaluate.predictions(side, {method: values}))


def _with_run(
    measured: pa.Table, about: dict[str, Any], experiment: Experiment, chosen: Mapping[str, str]
) -> pa.Table:
    """The metrics with the columns that say whose they are, and what validation chose."""
    tuned = [chosen.get(method) for method in measured["method"].to_pylist()]
    measured = measured.append_column("tuned", pa.array(tuned, pa.string()))
    for key in ("run_id", "experiment"):
        measured = measured.add_column(0, key, pa.array([about[key]] * len(measured)))
    of_all = {key: getattr(experiment, key) for key in ("train", "seed", "allow_overlap")}
    for key, value in {**of_all, "train_variant": experiment.variant}.items():
        measured = measured.append_column(key, pa.array([value] * len(measured)))
    configuration = json.dumps(experiment.configuration, sort_keys=True)
    # not the listing's: a corpus that moves keeps its runs, as it keeps all that was computed
    made_from = sorted(str(one) for node, one in about["fingerprints"].items() if node != "listing")
    of_run = {"configuration": configuration, "dag": about["dag"], "made_from": made_from}
    types = {"made_from": pa.list_(pa.string())}
    for key, value in of_run.items():
        column = pa.array([value] * len(measured), types.get(key, pa.string()))
        measured = measured.append_column(key, column)
    return measured


def _made_by(connection: "DuckDBPyConnection") -> list[str]:
    """The libraries that the cached rows were made by: several texts where parts differ."""
    sql = "select distinct libraries from receipts where libraries is not null order by 1"
    return [text for (text,) in connection.sql(sql).fetchall()]


def plugins(experiment: Experiment) -> dict[str, str]:
    """The features and baselines that plugins offer, and the hash of the source of each."""
    features = {*chain(*experiment.reads.values())} - {*MATRICES}
    baselines = {*experiment.baselines} - {*BASELINES}
    return offered.digests("feature", features) | offered.digests("baseline", baselines)


def _about(
    experiment: Experiment,
    name: str,
    selection: rows.Selection,
    fingerprints: Mapping[str, Any],
    dag: str,
) -> dict[str, Any]:
    """What experiment.json says, and the run id that follows from it."""
    config = experiment.model_dump(mode="json")
    decisive = {"version": _VERSION, "config": config, "fingerprints": dict(fingerprints)}
    decisive["dag"] = dag
    if plugged := plugins(experiment):
        decisive["plugins"] = plugged
    if experiment.foreign:  # what is in the files counts, not where they lie
        config["foreign"] = digests(experiment.foreign)
    digest = sha256(json.dumps(decisive, sort_keys=True).encode())
    for side in selection.sides.values():
        for column in side.table.columns:
            for start in range(0, len(column), _DIGESTED):  # a million strings are much memory
                some = column.slice(start, _DIGESTED).to_pylist()
                digest.update(json.dumps(some).encode())
    return {
        "experiment": name,
        "run_id": digest.hexdigest()[:12],
        **decisive,
        "sql": {name: side.sql for name, side in selection.sides.items()},
        "rows": {name: side.table.num_rows for name, side in selection.sides.items()},
        "real_and_fake": {name: _counts(side) for name, side in selection.sides.items()},
        "left_out": {name: side.notes for name, side in selection.sides.items()},
        "overlap": selection.overlap,
        "libraries": {"item-pipeline": __version__, **{name: version(name) for name in _LIBRARIES}},
    }
