"""Several runs on one store against one run: what is computed twice, what is lost, what it costs.

    python -m tests.benchmarks.together [--runs 4] [--images 1000] [--until captions]

Three rounds, each on fresh stores of the demo's images: one run; `--runs` at the same time, each
with a share of the images and a store of its own, so that nothing is shared but the cores; and as
many on one store, of which one is killed (-9) when half of the last node's parts are there. Every
run is in-process (`--inline`), and notes the CPU seconds of each task but for loading models, which
each of them does. Busy neighbours make cores slower: the second round says by how much.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.dag.graph import load
from pipeline.store.parts import Store

PART_SIZE = 16


@dataclass
class Round:
    """What came of some runs: wall seconds, CPU seconds of tasks, who computed what."""

    seconds: float
    log: list[dict[str, Any]]
    rows: dict[str, pa.Table]  # of the last node, by part
    by: Counter[str]  # parts of the last node that each run committed
    replaced: int  # parts of the last node that were committed a second time
    killed: str  # the run that was

    @property
    def cpu(self) -> float:
        """CPU seconds of all tasks, that of a killed run's last one left out."""
        return sum(line["cpu"] for line in self.log)

    @property
    def twice(self) -> int:
        """How many nodes' parts were computed more than once."""
        times = Counter((node, line["part"]) for line in self.log for node in line["nodes"])
        return sum(count > 1 for count in times.values())


def child(log: Path, arguments: list[str]) -> None:
    """One `item run`, whose every task appends to `log` who computed what, and its CPU seconds."""
    from pipeline.cli import app
    from pipeline.engine import executors, task

    execute, load_models, loading = executors.execute, task._models, [0.0]

    def timed_models(*arguments: Any, **options: Any) -> Any:
        before = time.process_time()
        loaded = load_models(*arguments, **options)
        loading[0] += time.process_time() - before
        return loaded

    def noted(one: task.Task) -> task.Outcome:
        before, loading[0] = time.process_time(), 0.0
        outcome = execute(one)
        cpu = time.process_time() - before - loading[0]
        nodes = [receipt.node for receipt in outcome.receipts]
        line = {"process": os.getpid(), "run": one.run, "part": one.part, "nodes": nodes}
        with log.open("a") as file:
            file.write(json.dumps({**line, "cpu": cpu}) + "\n")
        return outcome

    executors.execute, task._models = noted, timed_models
    sys.argv = ["item", *arguments]
    app.main()


def start(folder: Path, store: Path, images: int, until: str) -> subprocess.Popen[bytes]:
    """One run in the background; its words go to a file beside its store."""
    words = ["run", "demo", "--inline", "--until", until, "--store", str(store)]
    words += [word for text in settings(images) for word in ("--set", text)]
    log = str(folder / "log")
    command = [sys.executable, "-m", "tests.benchmarks.together", "--child", log, *words]
    with (folder / "said").open("a") as said:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)


def settings(images: int) -> list[str]:
    return [f"corpus.part_size={PART_SIZE}", f"corpus.limit={images}"]


def measured(folder: Path, runs: int, stores: int, kill: bool, images: int, until: str) -> Round:
    """`runs` at the same time on as many `stores` (or one), which are made in `folder`."""
    folder.mkdir()
    places = [folder / f"store-{number % stores}" for number in range(runs)]
    share = images // stores
    node = load("demo", settings(share)).nodes[until]
    started = time.perf_counter()
    processes = [start(folder, place, share, until) for place in places]
    inodes: dict[tuple[Path, str], set[int]] = {}
    killed = 0
    while any(process.poll() is None for process in processes):
        for place in set(places):
            for path in Store(place).parts(node) if place.exists() else []:
                inodes.setdefault((place, path.name), set()).add(path.stat().st_ino)
        if kill and not killed and len(inodes) * PART_SIZE >= images // 2:
            killed = processes[1].pid
            processes[1].send_signal(signal.SIGKILL)
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    codes = sorted(process.returncode for process in processes)
    if codes != [-9] * bool(killed) + [0] * (runs - bool(killed)):
        raise SystemExit(f"the runs ended with {codes}: {(folder / 'said').read_text()}")
    log = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    rows: dict[str, pa.Table] = {}
    by: Counter[str] = Counter()
    for cache in map(Store, set(places)):
        for path in cache.parts(node):
            rows[path.name] = cache.read(node.folder, path.name)
            by[cache.facts(path)["run"]] += 1
    replaced = sum(len(found) > 1 for found in inodes.values())
    dead = next((line["run"] for line in log if line["process"] == killed), "")
    return Round(seconds, log, rows, by, replaced, dead)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--until", default="captions")
    options = parser.parse_args()
    runs, same = options.runs, (options.images, options.until)
    with tempfile.TemporaryDirectory() as name:
        one = measured(Path(name, "one"), 1, 1, False, *same)
        apart = measured(Path(name, "apart"), runs, runs, False, *same)
        many = measured(Path(name, "many"), runs, 1, True, *same)
    titles = ("one run", f"{runs} runs, {runs} stores", f"{runs} runs, one store")
    for title, found in zip(titles, (one, apart, many), strict=True):
        print(
            f"{title:<18} {found.seconds:6.1f} s, {found.cpu:6.1f} CPU seconds in tasks, "
            f"{sum(found.by.values())} parts of {options.until}"
        )
    for run, count in many.by.most_common():
        print(f"  run {run}: {count} parts" + " (killed)" * (run == many.killed))
    lost = set(one.rows) - set(many.rows)
    other = [part for part, table in one.rows.items() if not table.equals(many.rows.get(part))]
    print(f"computed twice: {many.twice}; replaced: {many.replaced}; lost: {len(lost)}")
    print(f"parts with other rows than one run's: {len(other)}")
    print(f"CPU seconds in tasks: {many.cpu / one.cpu:.3f} of one run's, ", end="")
    print(f"{many.cpu / apart.cpu:.3f} of {runs} runs' that share nothing")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
