"""Wall time and memory of the commands, each against the floor of merely starting Python.

    python tests/benchmarks/commands.py [--rounds 5] [--first]

Runs in a temporary folder, with whatever `item` this Python has. `--first` also times the first
`item run demo` (minutes) and samples the resident memory of every process it starts.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import psutil

FLOOR = [sys.executable, "-c", "pass"]
ITEM = [sys.executable, "-m", "pipeline"]
QUICK = {
    "item --help": [*ITEM, "--help"],
    "item run demo (second)": [*ITEM, "run", "demo"],
    "item plan demo": [*ITEM, "plan", "demo"],
    "item status demo": [*ITEM, "status", "demo"],
    "item query demo by_generator": [*ITEM, "query", "demo", "by_generator"],
    "item train demo": [*ITEM, "train", "demo"],
}


def timed(command: list[str], folder: str) -> float:
    """Seconds of one run; the output is thrown away, a failure is not."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def peak_memory(command: list[str], folder: str) -> tuple[float, dict[int, int]]:
    """Seconds of one run, and the largest resident size in bytes seen of each of its processes."""
    peaks: dict[int, int] = {}
    process = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.1):
            try:
                for one in [process, *process.children(recursive=True)]:
                    peaks[one.pid] = max(peaks.get(one.pid, 0), one.memory_info().rss)
            except psutil.NoSuchProcess:
                continue

    watcher = threading.Thread(target=sample)
    started = time.perf_counter()
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - started
    stop.set()
    watcher.join()
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return seconds, peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds, peaks = peak_memory([*ITEM, "run", "demo"], folder)
        if options.first:
            largest = max(peaks.values()) / 2**30
            print(
                f"item run demo (first): {seconds:.0f} s, largest of {len(peaks)} processes "
                f"{largest:.2f} GiB resident"
            )
        times: dict[str, list[float]] = {name: [] for name in ["python -c pass", *QUICK]}
        for _ in range(options.rounds):  # interleaved: drift of the machine hits all alike
            times["python -c pass"].append(timed(FLOOR, folder))
            for name, command in QUICK.items():
                times[name].append(timed(command, folder))
    floor = statistics.median(times["python -c pass"])
    print(f"{'command':<30} {'median s':>9} {'min':>7} {'max':>7} {'x floor':>8}")
    for name, values in times.items():
        median = statistics.median(values)
        print(
            f"{name:<30} {median:>9.2f} {min(values):>7.2f} {max(values):>7.2f} "
            f"{median / floor:>8.1f}"
        )


if __name__ == "__main__":
    main()
