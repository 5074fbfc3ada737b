"""How long the pages take, and how large they are, on a store of a million images.

    python -m tests.benchmarks.million_store FOLDER --width 64
    item train FOLDER/dag.yaml one_generator --store FOLDER/store
    python -m tests.benchmarks.reported FOLDER

Prints the seconds and megabytes of `item report`, of `item run`'s second look at it (nothing has
changed), and of `item show` of one test image. The first `item report` makes the audit as well,
which `item run` would have left in the store: it is timed apart. No image exists on disk, so the
pictures are words; 24 thumbnails of photographs are about 0.6 MB and 0.3 s more.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from pipeline.audit import kept
from pipeline.cli.pages import write
from pipeline.dag.graph import load
from pipeline.query.open_store import connect
from pipeline.store.parts import Store

LIMIT_SECONDS, LIMIT_MEGABYTES = 60, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with dag.yaml and store/")
    folder = parser.parse_args().folder
    dag, store = load(str(folder / "dag.yaml")), Store(folder / "store")
    names = list(dag.experiments)
    _timed("audit", lambda: kept.at_hand(dag, store, lambda: connect(dag, store, runs=False)))
    path = _timed("report", lambda: write(dag, store, None, names))
    size = path.stat().st_size / 1e6
    print(f"{'':24} {size:.2f} MB, at most {LIMIT_MEGABYTES} MB are wanted")
    _timed("report, nothing new", lambda: write(dag, store, None, names, anew=False))
    with connect(dag, store) as connection:
        sql = "select image_id from predictions order by image_id limit 1"
        ((image_id,),) = connection.sql(sql).fetchall()
    command = [sys.executable, "-m", "pipeline", "show", str(dag.path), image_id]
    command += ["--store", str(store.root), "--html", str(folder / "image.html")]
    _timed("show, a process", lambda: subprocess.run(command, check=True, capture_output=True))


def _timed(what: str, work):
    started = time.perf_counter()
    found = work()
    print(f"{what:24} {time.perf_counter() - started:6.1f} s", flush=True)
    return found


if __name__ == "__main__":
    main()
