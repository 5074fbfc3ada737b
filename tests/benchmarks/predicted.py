"""`item predict` against the run that it is: the same verdicts, its first answer, its rate.

    python tests/benchmarks/predicted.py FOLDER [--images 500] [--rounds 2]

FOLDER: images in a layout that `item init` knows, real and fake ones. Runs in a temporary folder on
links to that many of them, with the bundled models. One round after another, so that a busy machine
is busy for both: `item run` without experiments into a new store, and `item predict` of the same
images, whole commands; a process that loads the models and no more, and `item predict` of one
image. Every figure is a ratio, or a difference of numbers. On a machine that others use, a single
process takes by the clock several times what it takes of a processor: both are printed.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipeline import open_store
from pipeline.corpus.sources.folder import listed
from pipeline.head.vectors.matrices import matrices
from pipeline.predict.found_run import meant

ITEM = [sys.executable, "-m", "pipeline"]
RUN = "judge"
LOADS = (
    "from pipeline.dag.graph import load\n"
    "from pipeline.engine.work import load_models\n"
    "for node in load('bare.yaml').computed: load_models(node)"
)
EXPERIMENT = {
    "train": "image_id < '8'",
    "test": "image_id >= '8'",
    "allow_overlap": True,
    "bootstrap": 0,
    "baselines": ["linear probe", "cosine"],
}


def timed(command: list[str], folder: Path) -> np.ndarray:
    """Seconds of one command, by the clock and of processors; a failure ends everything."""
    started = np.array([time.perf_counter(), sum(os.times()[2:4])])
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=alone)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr[-2000:]}")
    return np.array([time.perf_counter(), sum(os.times()[2:4])]) - started


def prepare(images: Path, count: int, folder: Path) -> str:
    """Links and the DAG files `dag.yaml` and `bare.yaml`, without experiments; one image."""
    paths = listed(str(images)).files["path"].to_pylist()
    random.Random(0).shuffle(paths)
    for path in paths[:count]:
        (folder / "pics" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pics" / path).symlink_to(images / path)
    timed([*ITEM, "init", "pics", "--models", "bundled", "--out", "dag.yaml"], folder)
    raw = yaml.safe_load((folder / "dag.yaml").read_text())
    raw["corpus"]["part_size"] = 128
    raw["experiments"] = {RUN: EXPERIMENT}
    (folder / "dag.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    del raw["experiments"]
    (folder / "bare.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return f"pics/{paths[0]}"


def compare(folder: Path) -> None:
    """The verdicts of `found.parquet` against the head on what the store has of the same images."""
    found = pq.read_table(folder / "found.parquet").to_pylist()
    run = meant(RUN, str(folder / "dag.yaml"), folder / "store")
    own = {row["image_id"]: row["uncalibrated"] for row in found if row["verdict"]}
    connection = open_store(str(folder / "dag.yaml"), folder / "store")
    experiment = run.trained.experiment
    x = matrices(connection, pa.chunked_array([pa.array(list(own))]), experiment)
    names = experiment.reads[run.reading.method]
    cached = run.head.probabilities(np.concatenate([x[name] for name in names], axis=1))
    apart = np.abs(np.array(list(own.values())) - cached)
    print(f"{len(found)} files, {len(own)} images judged by {run.reading.method}")
    print(f"largest difference from the cached verdicts: {apart.max():.1e} (allowed 1e-3)")


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="item-predicted-") as name:
        folder = Path(name)
        one = prepare(given.folder.resolve(), given.images, folder)
        timed([*ITEM, "run", "dag.yaml"], folder)
        predict = [*ITEM, "predict", "dag.yaml", RUN]
        ratios, later = [], []
        for number in range(given.rounds):
            ran = timed([*ITEM, "run", "bare.yaml", "--store", f"new-{number}"], folder)
            loads = timed([sys.executable, "-c", LOADS], folder)
            first = timed([*predict, one], folder)
            judged = timed([*predict, "pics", "--out", "found.parquet"], folder)
            ratios.append(ran / judged)
            later.append(first - loads)
            print(f"round {number}, seconds by clock and processor: run {ran.round(1)}, ", end="")
            print(f"predict {judged.round(1)}, models alone {loads.round(1)}, ", end="")
            print(f"one image {first.round(1)}", flush=True)
        compare(folder)
    for number, by in enumerate(("the clock", "processor time")):
        rate = statistics.median(ratio[number] for ratio in ratios)
        after = statistics.median(seconds[number] for seconds in later)
        print(f"by {by}: rate of predict, of run's: {rate:.2f} (at least 0.9)")
        print(f"by {by}: one image after the models are there: {after:.1f} s (at most 1)")


if __name__ == "__main__":
    main()
