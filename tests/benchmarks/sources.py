"""Listing and hashing by source, against bare loops: `python -m tests.benchmarks.sources FOLDER`.

Writes `--files` JPEGs of `--bytes` into FOLDER, as files, as tar shards of 1,000 and as Parquet of
1,000 rows, no two alike. For each: seconds of a bare loop that reads and hashes all of it in one
process, of `item run --until images --workers 2` on a new store, less that of a run over one file
(starting takes the same), and of the same run again. Medians of runs in turns. `--members N`
instead: the peak memory and seconds of listing one tar of N tiny images.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

_EACH = 1000  # images in a shard, and in a row group


def pictures(count: int, size: int) -> Iterator[bytes]:
    """JPEGs of `size` bytes: 64 pictures, made unlike by what stands behind their end."""
    rng, known = np.random.default_rng(0), []
    for _ in range(min(count, 64)):
        pixels = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((512, 384), Image.Resampling.BICUBIC)
        stream, quality = io.BytesIO(), 95
        image.save(stream, "JPEG", quality=quality)
        while len(stream.getvalue()) > size and quality > 5:
            stream, quality = io.BytesIO(), quality - 15
            image.save(stream, "JPEG", quality=quality)
        known.append(stream.getvalue())
    for number in range(count):
        data = known[number % len(known)]
        yield data + number.to_bytes(8, "big") * max(1, (size - len(data)) // 8)


def write(folder: Path, count: int, size: int) -> dict[str, Path]:
    """The same pictures in every source; source -> its root."""
    roots = {name: folder / name for name in ("folder", "tar", "parquet")}
    for root in roots.values():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
    some: list[bytes] = []
    for number, data in enumerate(pictures(count, size)):
        place = roots["folder"] / f"{number // _EACH:04d}"
        place.mkdir(exist_ok=True)
        (place / f"{number:07d}.jpg").write_bytes(data)
        some.append(data)
        if len(some) == _EACH or number == count - 1:
            first = number + 1 - len(some)
            with tarfile.open(roots["tar"] / f"{first // _EACH:05d}.tar", "w") as archive:
                for offset, one in enumerate(some):
                    info = tarfile.TarInfo(f"{first + offset:07d}.jpg")
                    info.size = len(one)
                    archive.addfile(info, io.BytesIO(one))
            cells = [{"bytes": one, "path": f"{first + i}.jpg"} for i, one in enumerate(some)]
            table = pa.table({"image": cells})
            pq.write_table(
                table, roots["parquet"] / f"{first // _EACH:05d}.parquet", compression="none"
            )
            some = []
    return roots


def bare(kind: str, root: str) -> int:
    """Reads and hashes all images of a source; how many."""
    count = 0
    if kind == "folder":
        folders = [root]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(entry.path)
                    else:
                        with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123
                            hashlib.sha256(file.read()).hexdigest()
                        count += 1
    for path in sorted(Path(root).iterdir()) if kind == "tar" else ():
        with path.open("rb") as file:
            while head := file.read(512):
                if head[0]:
                    size = int(head[124:135], 8)
                    data = file.read(-(-size // 512) * 512)
                    hashlib.sha256(memoryview(data)[:size]).hexdigest()
                    count += 1
    for path in sorted(Path(root).iterdir()) if kind == "parquet" else ():
        for batch in pq.ParquetFile(path).iter_batches(64, columns=["image.bytes"]):
            for cell in batch.column(0).field(0):
                hashlib.sha256(cell.as_buffer()).hexdigest()
                count += 1
    return count


def seconds_of(*command: str) -> float:
    """Seconds of a Python process; RuntimeError with its output where it fails."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - started


def dag(folder: Path, name: str, root: Path) -> str:
    """A DAG file over a root; nothing is computed but the listing."""
    path = folder / f"{name}.yaml"
    nodes = {"captions": {"stage": "provided", "images": "images"}}
    path.write_text(json.dumps({"name": name, "corpus": {"root": str(root)}, "nodes": nodes}))
    return str(path)


def run(path: str, store: Path) -> float:
    """Seconds of a run that lists."""
    how = ("--until", "images", "--workers", "2", "--store", str(store))
    return seconds_of("-m", "pipeline", "run", path, *how)


def compared(folder: Path, roots: dict[str, Path], count: int, rounds: int) -> None:
    """Prints each source's seconds."""
    one = folder / "one"
    one.mkdir(exist_ok=True)
    shutil.copy2(next(roots["folder"].rglob("*.jpg")), one)
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        shutil.rmtree(folder / "store", ignore_errors=True)
        start = run(dag(folder, "one", one), folder / "store")
        found.setdefault(("start", ""), []).append(start)
        for kind, root in roots.items():
            store = folder / "store" / kind
            loop = seconds_of("-m", "tests.benchmarks.sources", str(root), "--bare", kind)
            first = run(dag(folder, kind, root), store)
            again = run(dag(folder, kind, root), store)
            for what, value in (("bare", loop), ("first", first), ("again", again)):
                found.setdefault((kind, what), []).append(value)
    medians = {key: median(values) for key, values in found.items()}
    start = medians["start", ""]
    print(f"{count:,} images; a run over one file takes {start:.1f} s")
    print("source    bare loop s  first run s  less start  ratio  second run s")
    for kind in roots:
        loop, first, again = (medians[kind, what] for what in ("bare", "first", "again"))
        net = first - start
        print(
            f"{kind:9} {loop:11.1f}  {first:11.1f}  {net:10.1f}  {loop / net:5.2f}  {again:12.1f}"
        )


def many(folder: Path, members: int) -> None:
    """Prints the memory and time of listing a tar of many tiny images, and of doing so again."""
    path = folder / "many.tar"
    folder.mkdir(parents=True, exist_ok=True)
    tiny = next(pictures(1, 700))[:700]
    with tarfile.open(path, "w") as archive:
        for number in range(members):
            info = tarfile.TarInfo(f"{number // 1000:04d}/{number:07d}.jpg")
            info.size = 700
            archive.addfile(info, io.BytesIO(tiny[:-8] + number.to_bytes(8, "big")))
    file, store = dag(folder, "many", path), folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    for what in ("first", "second"):
        taken = run(file, store)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"{members:,} members, {what} run: {taken:.0f} s, peak {peak:.2f} GiB in a process")


def main() -> None:
    """Writes the sources and compares them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--bytes", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", help="only the bare loop over this source, FOLDER is its root")
    parser.add_argument("--members", type=int)
    given = parser.parse_args()
    if given.bare:
        print(bare(given.bare, str(given.folder)))
    elif given.members:
        many(given.folder, given.members)
    else:
        roots = write(given.folder, given.files, given.bytes)
        compared(given.folder, roots, given.files, given.rounds)


if __name__ == "__main__":
    main()
