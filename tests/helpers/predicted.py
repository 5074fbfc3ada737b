"""One small store with a trained run, made once: what most tests of this room predict by."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import make_corpus, make_dag

EXPERIMENT = {
    "train": "generator = 'gan'",
    "test": "generator = 'flow'",
    "validation_share": 0.34,
    "features": ["global", "local", "image"],
    "head": {"hidden": [4], "epochs": 2, "least_steps": 1},
    "bootstrap": 0,
}


@dataclass(frozen=True)
class World:
    """A folder with `small.yaml`, its corpus and its store."""

    folder: Path
    dag: Path
    corpus: Path
    store: Path


def with_experiments(dag: Path, **experiments: dict) -> Path:
    """A DAG file with these experiments."""
    raw = yaml.safe_load(dag.read_text())
    dag.write_text(yaml.safe_dump({**raw, "experiments": experiments}, sort_keys=False))
    return dag


def make_world(folder: Path, item: Callable[..., Any]) -> World:
    """Twelve images, all nodes, and the experiments `cross` (with every method) and `raw`."""
    corpus = make_corpus(folder / "corpus")
    raw = {**EXPERIMENT, "features": ["local"], "representation": "hadamard", "pooling": "max_norm"}
    dag = with_experiments(make_dag(folder / "small.yaml", corpus), cross=EXPERIMENT, raw=raw)
    done = item("run", dag, "--inline", "--no-report", cwd=folder)
    assert done.returncode == 0, done.stderr
    return World(folder, dag, corpus, folder / "store")
