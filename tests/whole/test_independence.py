"""The same rows, whatever the batches and the parts (processes: `engine/test_run`).

Captions, phrases and boxes are equal; vectors are within one step of float16, and not always equal:
fewer than one component of a thousand is rounded to the neighbouring float16. (Matrix products of
another shape, or on another number of threads, may add up their terms in another order.)
"""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli.app import app
from tests.benchmarks import outside
from tests.conftest import make_dag

CORPUS = outside.MODELS.parent / "corpus"
COUNT = 12
EVERY = 1000  # a part_size that takes all images
# part size, batch size of every node
RUNS = {"one by one": (5, 1), "sevens": (9, 7), "all at once": (EVERY, 64)}
KEYS = ("image_id", "text_id", "object_no", "level")
EXACT = {
    "captions": ("caption", "num_tokens"),
    "objects": ("phrase", "head", "start", "end"),
    "regions": ("x0", "y0", "x1", "y1"),
    "text_embeddings": ("text", "truncated"),
    "features": ("num_objects",),
}
CLOSE = {
    "captions": {"mean_logprob": 1e-5},
    "regions": {"score": 1e-5},
    # a step of float16 in one component (1.2e-4 from 1/8 on): the shorter a distance, the more it
    # moves
    "misalignment": {"cosine": 2e-5, "distance": 5e-5},
    # differences of two vectors: a step of float16 below 1 in each of them
    "features": {"global": 1e-3, "local": 1e-3, "distance_global": 5e-5, "distance_local": 5e-5},
}
VECTORS = ("image_embeddings", "text_embeddings", "object_embeddings")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, pa.Table]]:
    """The tables of each of RUNS, over the same dozen demo images."""
    here = tmp_path_factory.mktemp("independence")
    files = sorted(CORPUS.rglob("*.jpg"))
    for file in files[:: len(files) // COUNT][:COUNT]:
        copy = here / "corpus" / file.relative_to(CORPUS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return {name: _run(here, name, *settings) for name, settings in RUNS.items()}


def _run(here: Path, name: str, part_size: int, batch_size: int) -> dict[str, pa.Table]:
    dag = make_dag(here / "small.yaml", here / "corpus", part_size=part_size)
    raw = yaml.safe_load(dag.read_text())
    for node in raw["nodes"].values():
        if "model" in node or "clip" in node:
            node["batch_size"] = batch_size
    dag.write_text(yaml.safe_dump(raw, sort_keys=False))
    command = ["run", dag, "--inline", "--store", here / name]  # here: models are loaded once
    answer = CliRunner().invoke(app, [str(word) for word in command])
    assert answer.exit_code == 0, answer.output
    nodes = {*EXACT, *CLOSE, *VECTORS, "images"}
    return {node: _sorted(outside.table(here / name, node)) for node in nodes}


def _sorted(table: pa.Table) -> pa.Table:
    """Rows by key, each once: a text stands in every part that has it."""
    keys = [key for key in KEYS if key in table.column_names]
    table = table.sort_by([(key, "ascending") for key in keys])
    if "text_id" not in keys:
        return table
    ids = table["text_id"].to_pylist()
    return table.take([i for i, name in enumerate(ids) if not i or name != ids[i - 1]])


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers as float64, vectors flattened, nulls (which must be the same) as 0."""
    values = column.combine_chunks()
    if pa.types.is_fixed_size_list(values.type):
        values = values.fill_null([0.0] * values.type.list_size).flatten()
    return np.nan_to_num(values.to_numpy(zero_copy_only=False).astype(np.float64))


def _steps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How many float16 numbers lie between two arrays of them, the further one counted."""
    places = []
    for values in (one, other):
        bits = values.astype(np.float16).view(np.int16).astype(np.int32)
        places.append(np.where(bits < 0, -(bits & 0x7FFF), bits))
    return np.abs(places[0] - places[1])


@pytest.mark.parametrize("name", list(RUNS)[1:])
def test_rows_do_not_depend_on_batches_or_parts(tables, name):
    one, other = tables["one by one"], tables[name]
    assert len(one["images"]) == COUNT
    for node, table in one.items():
        keys = [key for key in KEYS if key in table.column_names]
        for column in (*keys, *EXACT.get(node, ()), "error"):
            assert table[column].equals(other[node][column]), (node, column)
        for column, tolerance in CLOSE.get(node, {}).items():
            assert table[column].is_null().equals(other[node][column].is_null()), (node, column)
            np.testing.assert_allclose(
                _values(other[node][column]), _values(table[column]), rtol=0, atol=tolerance
            )
    for node in VECTORS:
        assert one[node]["embedding"].null_count == other[node]["embedding"].null_count == 0
        stored, again = (_values(rows[node]["embedding"]) for rows in (one, other))
        # next to 0 the steps of float16 become as small as what float32 itself is off by
        near = (_steps(stored, again) <= 1) | (np.abs(stored - again) <= 1e-6)
        assert near.all(), node
        np.testing.assert_allclose(
            _values(other[node]["norm"]), _values(one[node]["norm"]), rtol=1e-5
        )
