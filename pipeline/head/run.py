"""A run: every head and baseline of one experiment, trained, tested, and saved in one folder.

    OUT/<experiment>/<run id>/
        head.safetensors, head.json   the MLP on all features of the experiment
        experiment.json               configuration, SQL, fingerprints, counts, losses
        metrics.parquet               a row a method and test generator, and a mean a method
        predictions.parquet           a row a method and test row

The run id is a hash of the configuration, the fingerprints and the selected rows: the same
experiment on the same data replaces its own folder, any other makes a new one.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import __version__
from pipeline.errors import UserError
from pipeline.head import data, evaluate
from pipeline.head.experiment import Experiment
from pipeline.head.inputs import gather_beside

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.head.mlp import Head

_VERSION = 2  # raised when the same experiment on the same data would give other numbers
_LIBRARIES = ("torch", "scikit-learn", "numpy", "duckdb", "pyarrow")


@dataclass(frozen=True)
class Result:
    """A finished run: where it lies, and what it measured."""

    experiment: Experiment
    name: str
    run_id: str
    folder: Path
    num_real: int  # training images
    num_fake: int
    notes: tuple[str, ...]  # what was left out, and why
    metrics: pa.Table  # of metrics.parquet, a row a method and test generator
    means: pa.Table  # and a row a method, over the unseen generators
    seconds: float | None  # None: these very inputs gave this run before


def run_experiment(
    connection: "DuckDBPyConnection",
    experiment: Experiment,
    name: str,
    out: Path,
    fingerprints: Mapping[str, Any],
    say: Callable[[str], None] = lambda line: None,
    again: bool = True,
) -> Result:
    """Trains and tests every method of an experiment on cached features, and saves the run.

    `connection`: one of `pipeline.query.connect`. `out`: the folder of all runs. `fingerprints`:
    JSON values that say what the features were made from (node -> fingerprint), saved with the
    head. `say` gets progress lines. Unless `again`, a run that the same inputs gave before is read,
    not trained, and neither torch nor scikit-learn is imported. Raises UserError for what
    `data.select`, `data.gather` and `train` refuse, for a name that is no folder name, and for a
    folder that cannot be written.
    """
    started = perf_counter()
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise UserError(
            f"'{name}' cannot be the name of a run's folder",
            f"experiments.{name}",
            "use letters, digits, '_', '-' and '.'",
        )
    rows, test = data.select(connection, experiment, name)
    if rows.table.num_rows < experiment.neighbours:  # a small sample must not stop the others
        few = f"k-NN takes all {rows.table.num_rows} images, fewer than {experiment.neighbours}"
        rows = replace(rows, notes=(*rows.notes, few))
    about = _about(experiment, name, rows, test, fingerprints)
    folder = out / name / about["run_id"]
    measured = None if again else _saved(folder)
    seconds = None
    if measured is None:
        say(f"{rows.table.num_rows:,} training images, {test.table.num_rows:,} test rows")
        measured = _compute(connection, experiment, rows, test, about, folder, say)
        seconds = perf_counter() - started
    num_fake = int(rows.label.sum())
    return Result(
        experiment,
        name,
        about["run_id"],
        folder,
        len(rows.label) - num_fake,
        num_fake,
        (*(f"training: {note}" for note in rows.notes), *(f"test: {note}" for note in test.notes)),
        *evaluate.split(measured),
        seconds,
    )


def _saved(folder: Path) -> pa.Table | None:
    """The metrics of a run that is there; None when it is not, or is damaged."""
    try:
        return pq.read_table(folder / "metrics.parquet", partitioning=None)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None


def _compute(
    connection: "DuckDBPyConnection",
    experiment: Experiment,
    rows: data.Rows,
    test: data.Rows,
    about: dict[str, Any],
    folder: Path,
    say: Callable[[str], None],
) -> pa.Table:
    """Trains, tests and saves in `folder`; returns the metrics."""
    from pipeline.head.mlp import save_head

    ids = pa.chunked_array(rows.table["image_id"].chunks + test.table["image_id"].chunks)
    x = {**data.gather(connection, ids), **gather_beside(connection, ids)}
    head, losses, probabilities = _fit(x, rows.label, experiment, say)
    fakes = rows.table.filter(pc.equal(rows.table["label"], 1))
    say(f"measuring, with {experiment.bootstrap:,} bootstrap resamples")
    predicted = evaluate.predictions(test.table, probabilities)
    measured = evaluate.measure(
        test.table,
        probabilities,
        set(fakes["generator"].to_pylist()),
        experiment.compare_to,
        experiment.bootstrap,
        experiment.seed,
    )
    for key in ("run_id", "experiment"):
        measured = measured.add_column(0, key, pa.array([about[key]] * len(measured)))
    measured = measured.append_column("train", pa.array([experiment.train] * len(measured)))
    measured = measured.append_column("seed", pa.array([experiment.seed] * len(measured)))

    def write(folder: Path) -> None:
        widths = {feature: x[feature].shape[1] for feature in experiment.features}
        save_head(head, folder, widths, experiment.head.hidden, about["fingerprints"])
        text = json.dumps({**about, "losses": losses}, indent=1)
        (folder / "experiment.json").write_text(text + "\n", encoding="utf-8")
        pq.write_table(measured, folder / "metrics.parquet")
        pq.write_table(predicted, folder / "predictions.parquet", compression="zstd")

    _publish(folder, write)
    return measured


def _fit(
    x: Mapping[str, np.ndarray], y: np.ndarray, experiment: Experiment, say: Callable[[str], None]
) -> tuple["Head", dict[str, list[float]], dict[str, np.ndarray]]:
    """The head on all features; losses of each head; each method's test probabilities.

    The rows of `x` are the training rows, as many as `y` has, and then the test rows.
    """
    from pipeline.head.baselines import BASELINES
    from pipeline.head.train import train

    n = len(y)
    losses: dict[str, list[float]] = {}
    probabilities: dict[str, np.ndarray] = {}
    for method, features in experiment.heads.items():
        say(f"training the head on {method}")
        inputs = np.concatenate([x[feature] for feature in features], axis=1)
        head, losses[method] = train(inputs[:n], y, experiment.head, experiment.seed)
        probabilities[method] = head.probabilities(inputs[n:])
    for method, baseline in BASELINES.items():
        say(f"fitting the baseline: {method}")
        inputs = np.concatenate([x[column] for column in baseline.columns], axis=1)
        probabilities[method] = baseline.fit(inputs[:n], y, experiment)(inputs[n:])
    return head, losses, probabilities  # the last head is the one on all features


def _about(
    experiment: Experiment,
    name: str,
    train_rows: data.Rows,
    test_rows: data.Rows,
    fingerprints: Mapping[str, Any],
) -> dict[str, Any]:
    """What experiment.json says, and the run id that follows from it."""
    config = experiment.model_dump(mode="json")
    decisive = {"version": _VERSION, "config": config, "fingerprints": dict(fingerprints)}
    digest = sha256(json.dumps(decisive, sort_keys=True).encode())
    for rows in (train_rows, test_rows):
        for column in rows.table.columns:
            digest.update(json.dumps(column.to_pylist()).encode())
    return {
        "experiment": name,
        "run_id": digest.hexdigest()[:12],
        **decisive,
        "sql": {"train": train_rows.sql, "test": test_rows.sql},
        "rows": {"train": train_rows.table.num_rows, "test": test_rows.table.num_rows},
        "left_out": {"train": train_rows.notes, "test": test_rows.notes},
        "libraries": {"item-pipeline": __version__, **{name: version(name) for name in _LIBRARIES}},
    }


def _publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Writes a run beside its place and renames it: a killed run leaves no half one there."""
    # a level above the runs, where `*/*/metrics.parquet` does not find them
    beside, name = folder.parent.parent, f"{folder.parent.name}-{folder.name}-{os.getpid()}"
    partial, replaced = beside / f".partial-{name}", beside / f".replaced-{name}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        write(partial)
        for path in partial.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if folder.exists():  # a folder cannot be renamed onto another one
            folder.rename(replaced)
        partial.rename(folder)
    except OSError as error:
        raise UserError(
            f"the run cannot be saved: {error}",
            str(folder),
            "free some space or give a --store that can be written, and train again",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
