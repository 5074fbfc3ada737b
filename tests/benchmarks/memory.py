"""Peak memory of a worker over few parts and over ten times as many: it must not grow.

    python -m tests.benchmarks.memory [--parts 10] [--part-size 39] [--rounds 3]

One worker computes the whole demo DAG over the first so many parts' worth of the bundled corpus,
then over ten times as many, each in a store of its own, by turns. Printed are the largest resident
sizes of the worker, their medians, and the ratio of these (two peaks can differ by 8 %).
"""

import argparse
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median

import psutil

from tests.benchmarks.speed import dag_file


def peak(dag: Path, store: Path) -> int:
    """The largest resident size, in bytes, of any process that the run starts."""
    command = [sys.executable, "-m", "pipeline", "run", str(dag), "--store", str(store)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = psutil.Popen([*command, "--workers", "1"], **quiet)
    largest, stop = 0, threading.Event()

    def sample() -> None:
        nonlocal largest
        while not stop.wait(0.05):
            try:
                sizes = [one.memory_info().rss for one in process.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            largest = max([largest, *sizes])

    watcher = threading.Thread(target=sample)
    watcher.start()
    code = process.wait()
    stop.set()
    watcher.join()
    if code:
        raise SystemExit(f"item run ended with {code}")
    return largest


def main() -> None:
    """Runs both sizes by turns and prints the peaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--part-size", type=int, default=39)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    found: dict[int, list[int]] = {1: [], 10: []}
    for _ in range(asked.rounds):
        for factor, peaks in found.items():
            with tempfile.TemporaryDirectory(prefix="item-memory-") as place:
                images = factor * asked.parts * asked.part_size
                dag = dag_file(Path(place), images, asked.part_size, None, None)
                peaks.append(peak(dag, Path(place) / "store"))
            print(f"{factor * asked.parts:4} parts: {peaks[-1] / 2**20:8.1f} MiB", flush=True)
    few, many = (median(peaks) for peaks in found.values())
    print(f"medians {few / 2**20:.1f}, {many / 2**20:.1f} MiB")
    print(f"ratio {many / few:.3f}, asked: at most 1.05")


if __name__ == "__main__":
    main()
