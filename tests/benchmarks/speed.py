"""Wall time of each stage against the floor of a bare loop, and of the whole DAG against their sum.

    python -m tests.benchmarks.speed [--images 2000] [--rounds 5] [--clip FOLDER] [--corpus FOLDER]

The floor of a stage is the CPU time of decoding and transforming plus that of the bare forward
passes (`tests.benchmarks.floor`), one single-threaded process for each core at the same time,
divided by the cores. The stage's own time runs from its first task's start, with its models loaded,
to its last part's commit; what comes before is printed as start-up. Stages and floors take turns;
medians are compared. `--clip` measures the image embeddings of another CLIP alone.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from PIL import Image

from pipeline.shipped import folder
from pipeline.stages.embed_objects import edges

CORES = len(os.sched_getaffinity(0))
ASKED = {
    "image_embeddings": 1.10,
    "captions": 1.15,
    "text_embeddings": 1.10,
    "object_embeddings": 1.15,
    "objects": None,
    "regions": None,
}
BATCH = {"parse": 256}  # of the bare loop; elsewhere 16, which is its best on a CPU too
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def dag_file(
    place: Path, images: int, part_size: int, clip: str | None, corpus: str | None
) -> Path:
    """The demo's DAG with its paths made absolute, and other images or another CLIP if asked."""
    shipped = folder("dags") / "demo.yaml"
    raw = yaml.safe_load(shipped.read_text())
    base = shipped.parent
    raw["corpus"]["root"] = corpus or str((base / raw["corpus"]["root"]).resolve())
    raw["corpus"] |= {"limit": images, "part_size": part_size}
    raw["experiments"] = {}
    for node in raw["nodes"].values():
        if "model" in node:
            node["model"] = str((base / node["model"]).resolve())
        if "clip" in node:
            path = (base / node["clip"]["model"].removeprefix("local-dir:")).resolve()
            node["clip"] = {"model": f"local-dir:{clip or path}"}
    out = place / "speed.yaml"
    out.write_text(yaml.safe_dump(raw, sort_keys=False))
    return out


def item(dag: Path, store: Path, *options: str) -> float:
    """Runs the DAG; returns when it was started (seconds since the epoch)."""
    started = time.time()
    command = [sys.executable, "-m", "pipeline", "run", str(dag), "--store", str(store), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return started


def times(store: Path, stage: str) -> tuple[float, float]:
    """(first start, last commit) of a stage's parts, in seconds since the epoch."""
    first, last = [], []
    for path in store.glob(f"{stage}/*/part-*.parquet"):
        facts = pq.read_metadata(path).metadata
        first.append(datetime.fromisoformat(facts[b"item.started"].decode()).timestamp())
        last.append(path.stat().st_mtime)
    return min(first), max(last)


def rows(store: Path, stage: str) -> list[dict[str, Any]]:
    """All rows of a stage, in the order of its parts."""
    paths = sorted(store.glob(f"{stage}/*/part-*.parquet"))
    return [row for path in paths for row in pq.read_table(path, partitioning=None).to_pylist()]


def jobs(dag: Path, store: Path) -> dict[str, dict[str, Any]]:
    """The floor's work for each node, from the tables of a finished run."""
    raw = yaml.safe_load(dag.read_text())["nodes"]
    paths = {row["image_id"]: row["uri"] for row in rows(store, "images")}
    boxes: dict[str, list[tuple[int, int, int, int]]] = {}
    for row in rows(store, "ground"):
        if row["x0"] is not None:
            with Image.open(paths[row["image_id"]]) as image:
                box = edges(image.size, [row[name] for name in ("x0", "y0", "x1", "y1")], 0.0)
            boxes.setdefault(paths[row["image_id"]], []).append(box)
    inputs = {
        "captions": list(paths.values()),
        "objects": [row["caption"] for row in rows(store, "caption") if row["caption"]],
        "image_embeddings": list(paths.values()),
        "regions": list(boxes),
        "text_embeddings": [row["text"] for row in rows(store, "embed_texts")],
        "object_embeddings": list(boxes.items()),
    }
    found = {}
    for name, given in inputs.items():
        stage = raw[name]["stage"]
        model = raw[name].get("model") or raw[name]["clip"]["model"].removeprefix("local-dir:")
        kind = "embed_images" if stage == "ground" else stage  # one forward pass for each image
        found[name] = {"kind": kind, "model": model, "inputs": given, "batch": BATCH.get(kind, 16)}
    return found


def floor(job: dict[str, Any], place: Path) -> float:
    """CPU seconds of the bare loop over the job, in as many processes as cores, over the cores."""
    processes = []
    for core in range(CORES):
        path = place / f"job-{core}.json"
        path.write_text(json.dumps({**job, "inputs": job["inputs"][core::CORES]}))
        command = [sys.executable, "-m", "tests.benchmarks.floor", str(path)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT))
    total = 0.0
    for process in processes:
        out, _ = process.communicate()
        if process.returncode:
            raise SystemExit("the bare loop failed")
        total += sum(json.loads(out).values())
    return total / CORES


def without(store: Path, stage: str | None, place: Path) -> Path:
    """A copy of the store, by links, that lacks one stage; None: all but the listing."""
    copy = place / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(store, copy, copy_function=os.link)
    for one in copy.iterdir():
        gone = one.name == stage if stage else one.name not in ("listing", "images", "store.json")
        if one.is_dir() and gone:
            shutil.rmtree(one)
    return copy


def measure(dag: Path, rounds: int, only: list[str], place: Path) -> None:
    """Runs everything in turn and prints the table."""
    store = place / "store"
    item(dag, store)
    work = {name: job for name, job in jobs(dag, store).items() if not only or name in only}
    stages = {
        name: node["stage"] for name, node in yaml.safe_load(dag.read_text())["nodes"].items()
    }
    took: dict[str, list[float]] = {name: [] for name in [*work, "whole DAG"]}
    least: dict[str, list[float]] = {name: [] for name in [*work, "whole DAG"]}
    starts: dict[str, list[float]] = {name: [] for name in [*work, "whole DAG"]}
    for number in range(rounds):
        for name, job in work.items():
            least[name].append(floor(job, place))
            copy = without(store, stages[name], place)
            asked = item(dag, copy, "--only", name)
            first, last = times(copy, stages[name])
            took[name].append(last - first)
            starts[name].append(first - asked)
        if not only:
            least["whole DAG"].append(sum(least[name][-1] for name in work))
            copy = without(store, None, place)
            asked = item(dag, copy)
            spans = [times(copy, stage) for stage in stages.values()]
            first, last = min(span[0] for span in spans), max(span[1] for span in spans)
            took["whole DAG"].append(last - first)
            starts["whole DAG"].append(first - asked)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    print(f"{'':18} {'rows':>6} {'stage s':>8} {'floor s':>8} {'ratio':>6} {'asked':>6} start-up s")
    for name in took:
        if not took[name]:
            continue
        ratio = statistics.median(a / b for a, b in zip(took[name], least[name], strict=True))
        asked_for = {**ASKED, "whole DAG": 1.20}.get(name)
        count = len(work[name]["inputs"]) if name in work else len(work["captions"]["inputs"])
        print(
            f"{name:18} {count:6} {statistics.median(took[name]):8.2f} "
            f"{statistics.median(least[name]):8.2f} {ratio:6.2f} "
            f"{asked_for or '':>6} {statistics.median(starts[name]):10.1f}"
        )


def main() -> None:
    """Reads the options, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part-size", type=int, default=125)
    parser.add_argument("--clip", help="a local-dir: folder of open_clip")
    parser.add_argument("--corpus", help="another folder of images, in the layout forensynths")
    parser.add_argument("--only", nargs="*", default=[], help="these nodes only")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="item-speed-") as place:
        dag = dag_file(Path(place), asked.images, asked.part_size, asked.clip, asked.corpus)
        only = asked.only or (["image_embeddings"] if asked.clip else [])
        measure(dag, asked.rounds, only, Path(place))


if __name__ == "__main__":
    main()
