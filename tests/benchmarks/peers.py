"""What a user would pick instead of `embed_images`: same CLIP, same images, Parquet out.

    python -m tests.benchmarks.peers [--count 2000] [--rounds 1] [--sweep] [--python PYTHON]

`item` itself runs in the same rounds: its work is from the first part's start to the last commit,
and what it does before, reading every file once to list it, is in its start-up.

A plain DataLoader loop, Hugging Face `datasets.map`, Ray Data and Daft (`rivals.py`), each in a
process of its own and in a setting for two cores; `--sweep` tries the others. They are no
dependencies of the project: PYTHON (or ITEM_PEERS_PYTHON) is the interpreter of an environment that
has them beside torch and open_clip; what it lacks is printed as `not installed`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import pyarrow.dataset as ds
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.benchmarks import outside
from tests.benchmarks.rivals import NOT_INSTALLED
from tests.benchmarks.speed import times

CORPUS = outside.MODELS.parent / "corpus"
CLIP = outside.MODELS / "clip"
# of each, the first is what `peers` takes; whether it is the best on a machine, `--sweep` says
SETTINGS: dict[str, list[dict[str, int]]] = {
    "item": [{"workers": 2}],
    "loader": [
        {"workers": 1, "threads": 2, "batch": 16},
        {"workers": 1, "threads": 2, "batch": 64},
        {"workers": 2, "threads": 2, "batch": 16},
        {"workers": 2, "threads": 1, "batch": 16},
    ],
    "datasets": [
        {"processes": 2, "batch": 16},
        {"processes": 2, "batch": 64},
        {"processes": 1, "batch": 16},
    ],
    "ray": [{"actors": 2, "batch": 16}, {"actors": 2, "batch": 64}, {"actors": 1, "batch": 16}],
    "daft": [
        {"processes": 2, "batch": 16},
        {"processes": 2, "batch": 64},
        {"processes": 1, "batch": 16},
    ],
}
NAMES = {
    "item": "item run",
    "loader": "DataLoader loop",
    "datasets": "datasets.map",
    "ray": "Ray Data map_batches",
    "daft": "Daft",
}


class NotInstalled(Exception):
    """The peer's package is not there."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one run: `wall` from start to exit, `start_up` until the first model call,
    `work` from there to the last byte of Parquet."""

    images: int
    wall: float
    start_up: float
    work: float

    @property
    def rate(self) -> float:
        """Images per second of work, start-up left out."""
        return self.images / self.work


Peer = Callable[[Path, Path], Timing]


def peers(python: str | None = None) -> dict[str, Peer]:
    """Each peer in its first setting: `peer(images_dir, out_dir)` runs it and gives its Timing.

    `out_dir` must not exist. NotInstalled when the interpreter lacks the package; RuntimeError when
    the peer fails or leaves rows out.
    """
    return {
        NAMES[name]: partial(measure, name, settings[0], python=python)
        for name, settings in SETTINGS.items()
        if name != "item"
    }


def ours(setting: dict[str, int], images: Path, out: Path) -> Timing:
    """The stage `embed_images` over the same folder, in parts of 125 images."""
    out.mkdir(parents=True)
    node = {"stage": "embed_images", "images": "images", "clip": outside.clip(CLIP)}
    corpus = {"root": str(images), "layout": "unlabelled", "part_size": 125}
    dag = outside.write_dag(out / "peer.yaml", corpus, {"image_embeddings": node})
    started = time.time()
    workers = ("--workers", setting["workers"])
    answer = outside.item("run", dag, "--store", out / "store", *workers, cwd=out)
    ended = time.time()
    if answer.returncode:
        raise RuntimeError(f"item run\n{answer.stderr[-500:]}")
    first, last = times(out / "store", "embed_images")
    count = outside.table(out / "store", "image_embeddings").num_rows
    return Timing(count, ended - started, first - started, last - first)


def measure(
    name: str, setting: dict[str, int], images: Path, out: Path, python: str | None = None
) -> Timing:
    """Runs one rival in a process of its own; the times are those it left in its files."""
    if name == "item":
        return ours(setting, images, out)
    out.mkdir(parents=True)
    python = python or os.environ.get("ITEM_PEERS_PYTHON") or sys.executable
    settings = [f"{key}={value}" for key, value in setting.items()]
    command = [python, "-m", "tests.benchmarks.rivals", name, images, out, CLIP, *settings]
    threads = str(setting.get("threads", 1))
    started = time.time()
    answer = subprocess.run(
        [str(word) for word in command],
        cwd=outside.MODELS.parents[2],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": threads, "HF_HOME": str(out / "hf")},
    )
    ended = time.time()
    if answer.returncode == NOT_INSTALLED:
        raise NotInstalled(NAMES[name])
    written = sorted(out.rglob("*.parquet"))
    rows = ds.dataset(written).count_rows() if written else 0
    count = sum(file.is_file() for file in images.rglob("*"))
    if answer.returncode != 0 or rows != count:
        said = "\n".join(answer.stderr.splitlines()[-5:])
        raise RuntimeError(f"{NAMES[name]}: {rows} of {count} rows\n{said}")
    first = min(float(mark.read_text()) for mark in (out / "marks").iterdir())
    last = max(file.stat().st_mtime for file in written)
    return Timing(count, ended - started, first - started, last - first)


def pictures(folder: Path, count: int) -> Path:
    """`count` files with distinct bytes below `folder`: the demo's JPEGs, every fourth as PNG.

    Where the demo has fewer, a file comes again with a comment in it.
    """
    files = sorted(CORPUS.rglob("*.jpg"))
    for number in range(count):
        file, again = files[number % len(files)], number // len(files)
        copy = folder / f"{number:06}-{file.stem}"
        folder.mkdir(parents=True, exist_ok=True)
        if number % 4 == 3:
            buffer, text = BytesIO(), PngInfo()
            text.add_text("Comment", str(again))
            with Image.open(file) as image:
                image.save(buffer, "PNG", pnginfo=text)
            copy.with_suffix(".png").write_bytes(buffer.getvalue())
            continue
        data = file.read_bytes()
        if again:  # a comment segment behind the start of the image
            note = str(again).encode()
            data = data[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + data[2:]
        copy.with_suffix(".jpg").write_bytes(data)
    return folder


def compare(
    wanted: list[tuple[str, dict[str, int]]], options: argparse.Namespace, folder: Path
) -> list[list[Timing] | str]:
    """The timings of each rival in each setting, or why there are none."""
    images = pictures(folder / "images", options.count)
    found: list[list[Timing] | str] = [[] for _ in wanted]
    for turn in range(options.rounds):
        for number, (name, setting) in enumerate(wanted):
            timings = found[number]
            if isinstance(timings, str):
                continue
            out = folder / f"{number}-{turn}"
            try:
                timings.append(measure(name, setting, images, out, options.python))
            except NotInstalled:
                found[number] = "not installed"
            except RuntimeError as error:
                found[number] = f"failed: {error}"
    return found


def main() -> None:
    """Prints a line for each peer: medians over the rounds, which are interleaved."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000, help="images")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sweep", action="store_true", help="every setting of each")
    parser.add_argument("--only", choices=tuple(SETTINGS))
    parser.add_argument("--python", help="the interpreter that has the peers")
    options = parser.parse_args()
    wanted = [
        (name, setting)
        for name, settings in SETTINGS.items()
        if options.only in (None, name)
        for setting in (settings if options.sweep else settings[:1])
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = compare(wanted, options, Path(folder))
    columns = ("wall s", "start-up s", "work s", "images/s")
    print(f"{'peer':42}" + "".join(f"{name:>12}" for name in columns))
    for (name, setting), timings in zip(wanted, found, strict=True):
        label = f"{NAMES[name]} ({', '.join(f'{value} {key}' for key, value in setting.items())})"
        if isinstance(timings, str):
            print(f"{label:42}  {timings}")
            continue
        values = [
            statistics.median(getattr(timing, field) for timing in timings)
            for field in ("wall", "start_up", "work", "rate")
        ]
        print(f"{label:42}" + "".join(f"{value:12.1f}" for value in values))
    if any(isinstance(timings, str) and timings.startswith("failed") for timings in found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
