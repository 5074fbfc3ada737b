"""Seconds of every named query: `python -m tests.benchmarks.queries FOLDER [NAME …]`.

FOLDER is what `million_store` wrote. If it has no runs yet, two made-up ones are written first: 9
methods, predictions of every test image in each of its variants. cold: the command `item query`, a
new process, after the operating system was told to forget the store's files. warm: the same
connection once more, without the command's start. Medians of interleaved rounds; the start of the
command alone is the row `select 1`.
"""

import argparse
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import open_store
from pipeline.dag.experiment import Experiment
from pipeline.head.figures import evaluate
from pipeline.head.run_folder import publish
from pipeline.query.questions import execute, named_queries
from tests.benchmarks.million_world import GENERATORS, STRENGTH

METHODS = Experiment(train="true").methods


def made_up_run(test: pa.Table, runs: Path, seed: int) -> None:
    """A run in `RUNS/made_up`: probabilities as good as those of the best head of `global`."""
    rng = np.random.default_rng(seed)
    strength = np.array([STRENGTH[name] for name in test["generator"].to_pylist()])
    shift = test["label"].to_numpy() * strength
    found = {}
    for method in METHODS:
        z = shift + rng.standard_normal(len(shift))
        found[method] = 1 / (1 + np.exp(0.7 - z))
    measured, differences = evaluate.measure(test, found, {GENERATORS[4]}, ("linear probe",))
    columns = {"experiment": "made_up", "run_id": sha256(f"{seed}".encode()).hexdigest()[:12]}
    columns |= {"train": "nothing", "seed": seed, "allow_overlap": True, "configuration": "{}"}
    columns["train_variant"] = "clean"
    for name, value in columns.items():
        measured = measured.append_column(name, pa.array([value] * len(measured)))

    def write(folder: Path) -> None:
        pq.write_table(measured, folder / "metrics.parquet")
        pq.write_table(differences, folder / "differences.parquet")
        predicted = evaluate.predictions(test, found)
        pq.write_table(predicted, folder / "predictions.parquet", compression="zstd")

    publish(runs / "made_up" / columns["run_id"], write)


def forget(store: Path) -> None:
    """Has the operating system drop what it keeps in memory of the store's files."""
    for path in store.rglob("*.parquet"):
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def cold(dag: Path, store: Path, query: str) -> float:
    forget(store)
    command = [sys.executable, "-m", "pipeline", "query", dag, query, "--store", store]
    started = time.perf_counter()
    subprocess.run([*map(str, command), "--format", "csv"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of million_store")
    parser.add_argument("names", nargs="*", help="queries (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-only", action="store_true")
    options = parser.parse_args()
    dag, store = options.folder / "dag.yaml", options.folder / "store"
    if not (store / "runs").exists():
        with open_store(str(dag), store) as connection:
            test = connection.sql(
                "select distinct images.image_id, variant, generator, split, label "
                "from listing join images on listing.image_id = content_id "
                "where split = 'test' and listing.error is null"
            ).to_arrow_table()
        for seed in range(2):
            made_up_run(test, store / "runs", seed)
    names = options.names or list(named_queries())
    texts = {"select 1": "select 1"} if not options.names else {}
    texts |= {name: named_queries()[name].sql for name in names}
    seconds: dict[str, dict[str, list[float]]] = {name: {"cold": [], "warm": []} for name in texts}
    with open_store(str(dag), store) as connection:
        for number in range(options.rounds + 1):
            for name, sql in texts.items():
                started = time.perf_counter()
                execute(connection, sql)
                if number:  # the first round only warms up
                    seconds[name]["warm"].append(time.perf_counter() - started)
    for _ in range(0 if options.warm_only else options.rounds):
        for name in texts:
            seconds[name]["cold"].append(cold(dag, store, name))
    print("| query | warm s | cold s |\n|---|---|---|")
    for name, found in seconds.items():
        cold_s = f"{median(found['cold']):.2f}" if found["cold"] else ""
        print(f"| {name} | {median(found['warm']):.2f} | {cold_s} |")


if __name__ == "__main__":
    main()
