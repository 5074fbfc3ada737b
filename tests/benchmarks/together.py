"""Several runs on one store against one run: what is computed twice, what is lost, what it costs.

    python -m tests.benchmarks.together [--runs 4] [--images 1000] [--until captions]

Each round starts on a fresh store of the demo's images: one run; then `--runs` at the same time, of
which one is killed (-9) when half of the last node's parts are there. Every run is in-process
(`--inline`), and notes the CPU seconds of each task. Where runs are more than cores, compare CPU
seconds of tasks, not of processes: each of these starts anew.
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
from pathlib import Path
from typing import Any

from pipeline.dag import load
from pipeline.store import Store

PART_SIZE = 16


def child(log: Path, arguments: list[str]) -> None:
    """One `item run`, whose every task appends (process, part, nodes, CPU seconds) to `log`."""
    from pipeline import cli
    from pipeline.engine import executors

    execute = executors.execute

    def noted(task: Any) -> Any:
        before = time.process_time()
        outcome = execute(task)
        line = {
            "process": os.getpid(),
            "run": task.run,
            "part": task.part,
            "nodes": [receipt.node for receipt in outcome.receipts],
            "cpu": time.process_time() - before,
        }
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return outcome

    executors.execute = noted
    sys.argv = ["item", *arguments]
    cli.main()


def together(folder: Path, runs: int, kill: bool, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds, CPU seconds of tasks, what each run noted, and the last node's parts."""
    store, log = folder / f"store-{runs}", folder / f"log-{runs}"
    sets = [f"corpus.part_size={PART_SIZE}", f"corpus.limit={options.images}"]
    words = ["run", "demo", "--inline", "--until", options.until, "--store", str(store)]
    words += [word for text in sets for word in ("--set", text)]
    node = load("demo", sets).nodes[options.until]
    command = [sys.executable, "-m", "tests.benchmarks.together", "--child", str(log), *words]
    started = time.perf_counter()
    processes = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(folder / f"{n}.err").open("w"))
        for n in range(runs)
    ]
    expected = -(-options.images // PART_SIZE)
    inodes: dict[str, set[int]] = {}
    killed = None
    while any(process.poll() is None for process in processes):
        parts = Store(store).parts(node) if store.exists() else []
        for path in parts:
            inodes.setdefault(path.name, set()).add(path.stat().st_ino)
        if kill and killed is None and len(parts) >= expected // 2:
            killed = processes[1].pid
            processes[1].send_signal(signal.SIGKILL)
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    codes = [process.returncode for process in processes]
    if sorted(codes) != sorted([-9] * (killed is not None) + [0] * (runs - (killed is not None))):
        raise SystemExit(f"the runs ended with {codes}: {(folder / '0.err').read_text()}")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    cache = Store(store)
    rows = {path.name: cache.read(node.folder, path.name) for path in cache.parts(node)}
    by = Counter(cache.facts(path)["run"] for path in cache.parts(node))
    return {
        "seconds": seconds,
        "cpu": sum(line["cpu"] for line in lines),
        "tasks": Counter((node, line["part"]) for line in lines for node in line["nodes"]),
        "replaced": sum(len(found) > 1 for found in inodes.values()),
        "rows": rows,
        "by": by,
        "killed": killed,
        "killed run": next((line["run"] for line in lines if line["process"] == killed), ""),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--until", default="captions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = together(folder, 1, False, options)
        many = together(folder, options.runs, True, options)
    for title, found in (("one run", one), (f"{options.runs} runs, one killed", many)):
        print(
            f"{title:<22} {found['seconds']:6.1f} s, {found['cpu']:6.1f} CPU seconds in tasks, "
            f"{len(found['rows'])} parts of {options.until}"
        )
    for run, count in many["by"].most_common():
        print(f"  run {run}: {count} parts" + " (killed)" * (run == many["killed run"]))
    twice = sum(count > 1 for count in many["tasks"].values())
    lost = set(one["rows"]) - set(many["rows"])
    other = [part for part in one["rows"] if not one["rows"][part].equals(many["rows"].get(part))]
    print(f"tasks done twice: {twice}; parts replaced: {many['replaced']}; parts lost: {len(lost)}")
    print(f"parts with other rows than one run's: {len(other)}")
    print(f"CPU seconds in tasks, of one run's: {many['cpu'] / one['cpu']:.3f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
