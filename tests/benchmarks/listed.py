"""A run with nothing to do over many files, and its plan: `python -m tests.benchmarks.listed`.

Writes a store by `million_store` (vectors of eight numbers, no variants) and, where its listing
says, files of these sizes without content. Prints seconds and peak memory of `item run --until
features` and of `item plan`, in turns with a bare loop of scandir and stat over the same files, and
what a thousand new files add to a plan, and to a run. Medians.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from pipeline.dag.graph import load
from pipeline.store.parts import Store
from tests.benchmarks.million_store import write
from tests.conftest import draw

_NEW = 1000


def write_files(path: Path, store: Path) -> int:
    """The files that the listing names: of their sizes, last changed in 1970; how many."""
    node, cache, count = load(str(path)).nodes["listing"], Store(store), 0
    for part in cache.parts(node):
        rows = cache.read(node.folder, part.name, ["uri", "bytes"])
        for uri, size in zip(rows["uri"].to_pylist(), rows["bytes"].to_pylist(), strict=True):
            file = Path(uri)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            os.truncate(file, size)
            os.utime(file, ns=(0, 0))
            count += 1
    return count


def bare(root: str) -> float:
    """Seconds of scandir and stat."""
    started, folders = time.perf_counter(), [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    entry.stat()
    return time.perf_counter() - started


def item(*arguments: str) -> float:
    """Seconds of a command, starting Python included."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pipeline", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="item-listed-") as folder:
        out = Path(folder)
        path = write(out, options.images, width=8, variants=())
        store = ("--store", str(out / "store"))
        count, root = write_files(path, out / "store"), load(str(path)).corpus.root
        found: dict[str, list[float]] = {"bare": [], "run": [], "plan": []}
        for _ in range(options.rounds):
            found["bare"].append(bare(root))
            found["run"].append(item("run", str(path), "--until", "features", *store))
            found["plan"].append(item("plan", str(path), *store))
        new = Path(root) / "test" / "progan" / "0_real"
        new.mkdir(parents=True, exist_ok=True)
        for number in range(_NEW):
            draw(new / f"new{number}.jpg", number)
        more = item("plan", str(path), *store)
        described = item("run", str(path), "--until", "images", *store)
    least = median(found["bare"])
    print(f"{count:,} files, {options.rounds} rounds")
    for name, seconds in found.items():
        print(
            f"{name:5} {median(seconds):7.1f} s  {median(seconds) / least:5.1f} times the bare loop"
        )
    print(f"plan  {more:7.1f} s  with {_NEW:,} new files")
    print(f"run   {described:7.1f} s  that lists and registers them, its audit and report included")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"largest process {peak:.2f} GiB")


if __name__ == "__main__":
    main()
