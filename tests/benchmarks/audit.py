"""The audit of a million images: `python -m tests.benchmarks.audit FOLDER`.

Writes a store of listing, images, captions and image embeddings (`million_store` says what is in
it; nothing there tells a label but the embeddings) into FOLDER, if it is not there, and plants
pairs: test images whose embeddings are those of training images, turned away to the cosine `--at`.
Then, each in a process of its own, which tells its peak memory:

- the audit without near-duplicates, as at the end of a run;
- near-duplicates, with the share of the planted pairs that were found.

No fact may tell the label: files and captions are drawn without it. Names do: they are numbered
through, folder by folder, as in many a published corpus.

What else was tried for near-duplicates of 1,000,000 x 768 with 2,000 planted pairs at 0.991, before
this: 100,000 vectors in usearch's HNSW index of the same 64 components took 98 CPU seconds to
build, where faiss's inverted file takes 45 for all 1,000,000; faiss's inverted file over all 768
numbers took twice its time at 100,000 for a recall of 0.9995; comparing the first 32 principal
components of every pair, which is exact, needs 2.3 ns of CPU a pair, 1,150 s for all.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.audit.audit import audit
from pipeline.audit.finding import summary
from pipeline.audit.near_duplicates.checks import near_duplicates
from pipeline.audit.near_duplicates.neighbours import moved
from pipeline.dag.graph import load
from pipeline.query.open_store import connect
from pipeline.store.parts import Store
from tests.benchmarks import million_store

NODES = ("captions", "image_embeddings")
PLANTED = "planted.json"


@dataclass(frozen=True)
class Outcome:
    """Wall and CPU seconds, peak memory in bytes, and what was found in words."""

    seconds: float
    cpu: float
    peak: int
    said: str


def write(folder: Path, images: int, width: int, planted: int, at: float, processes: int) -> None:
    """The store, and in it the pairs, named in FOLDER/planted.json."""
    million_store.write(folder, images, width, processes=processes, variants=(), nodes=NODES)
    pairs = plant(folder, planted, at)
    (folder / PLANTED).write_text(json.dumps(pairs))


def plant(folder: Path, count: int, at: float, seed: int = 0) -> list[tuple[str, str]]:
    """Gives `count` test images the vectors of training images, turned to a cosine of `at`.

    Returns the image ids, (training, test). float16 rounds the cosine by some 1e-5.
    """
    dag, store = load(str(folder / "dag.yaml")), Store(folder / "store")
    node = dag.nodes["image_embeddings"]
    sql = (
        "select image_id from listing where split = $split and error is null "
        "group by image_id order by image_id limit $count"
    )
    with connect(dag, store, runs=False) as connection:
        train, test = (
            connection.sql(sql, params={"split": split, "count": count}).to_arrow_table()[0]
            for split in ("train", "test")
        )
    found, place = [], []
    for path in store.parts(node):
        table = store.read(node.folder, path.name, ["image_id", "embedding"])
        at_row = pc.index_in(table["image_id"], value_set=train).combine_chunks()
        some = table.filter(at_row.is_valid())
        found.append(tables.matrix(some["embedding"])[0])
        place.append(at_row.drop_null().to_numpy())
    vectors = np.empty((count, found[0].shape[1]), np.float32)
    vectors[np.concatenate(place)] = np.concatenate(found)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    twins = moved(vectors, np.roll(vectors, 1, axis=0), at)
    for path in store.parts(node):
        table = store.read(node.folder, path.name)
        row = pc.index_in(table["image_id"], value_set=test).combine_chunks()
        here = row.is_valid().to_numpy(zero_copy_only=False)
        if not here.any():
            continue
        all_of_part, valid = tables.matrix(table["embedding"])
        all_of_part[here] = twins[row.drop_null().to_numpy()]
        column = tables.vectors(all_of_part, valid)
        table = table.set_column(table.column_names.index("embedding"), "embedding", column)
        facts = {"node": node.name, "rows_in": len(table), "rows_ok": len(table)}
        store.write(node.folder, path.name, table, {**facts, "rows_failed": 0, "transient": 0})
    return list(zip(train.to_pylist(), test.to_pylist(), strict=True))


def _timed(folder: Path, ask: Callable) -> Outcome:
    dag, store = load(str(folder / "dag.yaml")), Store(folder / "store")
    started, cpu = time.perf_counter(), time.process_time()
    with connect(dag, store, runs=False) as connection:
        said = ask(connection, dag)
    seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    return Outcome(seconds, spent, getrusage(RUSAGE_SELF).ru_maxrss * 1024, said)


def without(folder: Path) -> Outcome:
    """Every check but near-duplicates."""

    def ask(connection, dag) -> str:
        found = audit(connection, dag, near=False)
        told = [f"{one.verdict}: {one.check}" for one in found if one.verdict in ("look", "leak")]
        return f"{summary(found)}{': ' if told else ''}{', '.join(told)}"

    return _timed(folder, ask)


def near(folder: Path) -> Outcome:
    """Near-duplicates, and how many of the planted pairs are among them."""
    kept: list[pa.Table] = []

    def ask(connection, dag) -> str:
        findings = near_duplicates(connection, {}, 0.99, print, kept.append)
        return f"{findings[0].figure}; {findings[0].seen}"

    outcome = _timed(folder, ask)
    planted = {frozenset(pair) for pair in json.loads((folder / PLANTED).read_text())}
    ends = [kept[0][f"image_id_{end}"].to_pylist() for end in "ab"]
    found = {frozenset(pair) for pair in zip(*ends, strict=True)}
    recall = len(planted & found) / len(planted)
    said = f"recall of {len(planted):,} planted pairs: {recall:.4f}; {len(found):,} pairs found"
    return Outcome(outcome.seconds, outcome.cpu, outcome.peak, f"{said}; {outcome.said}")


def _alone(task: Callable[[Path], Outcome], folder: Path) -> Outcome:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, folder).result()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where dag.yaml and store/ go, or are")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--planted", type=int, default=2000, help="pairs")
    parser.add_argument("--at", type=float, default=0.991, help="their cosine")
    parser.add_argument("--processes", type=int, default=2, help="that write the store")
    parser.add_argument("--only", choices=["without", "near"])
    options = parser.parse_args(arguments)
    if not (options.folder / PLANTED).exists():
        sizes = (options.images, options.width, options.planted, options.at, options.processes)
        write(options.folder, *sizes)
    wanted = {"without": without, "near": near}
    print(f"{options.images:,} images, {options.width} numbers wide")
    for name, task in wanted.items():
        if options.only in (None, name):
            one = _alone(task, options.folder)
            print(
                f"{name:8} {one.seconds:7.1f} s  {one.cpu:7.1f} CPU s  {one.peak / 2**30:5.2f} GiB"
                f"  {one.said}"
            )


if __name__ == "__main__":
    main()
