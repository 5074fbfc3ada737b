"""Mutated tars, zips, Parquet files and manifests: `python -m tests.benchmarks.fuzz_sources`.

Each of `--files` is one of ours with bytes changed, cut out, put in, cut off, or joined to another
one. Asked is that each is listed, with a row for every file that is found
and for all that cannot be, or is one message of a UserError; and that each row is an image, or has
an `error`. Anything else ends the run with the number of the file, which `--first` repeats.
"""

import argparse
import csv
import io
import json
import random
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.stages import listing
from tests.benchmarks.fuzz import originals as images
from tests.helpers.corpora import found_in


@cache
def originals() -> list[tuple[str, bytes]]:
    """(suffix, file) of sources that hold or name six images, and say all that can be said."""
    some = [data for name, data in images() if name in ("JPEG", "PNG", "WEBP")][:6]
    rows = [
        {
            "path": f"{number}.jpg",
            "label": ("real", "fake")[number % 2],
            "generator": "gan",
            "split": "train",
            "caption": 'a "red" ball, é',
        }
        for number in range(6)
    ]
    found: list[tuple[str, bytes]] = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
            for number, data in enumerate(some):
                folder = "" if form == tarfile.USTAR_FORMAT else "long/" * 30
                said = {"cls": str(number % 2), "json": json.dumps(rows[number]), "txt": "a ball"}
                files = {"jpg": data} | {end: text.encode() for end, text in said.items()}
                for end, content in files.items():
                    info = tarfile.TarInfo(f"{folder}{number}.{end}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
            link = tarfile.TarInfo("link.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, f"{folder}0.jpg"
            archive.addfile(link)
        found.append((".tar", stream.getvalue()))
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for number, data in enumerate(some):
                archive.writestr(f"{number}.jpg", data)
                archive.writestr(f"{number}.json", json.dumps(rows[number]))
        found.append((".zip", stream.getvalue()))
    cells = [{"bytes": data, "path": f"{n}.jpg"} for n, data in enumerate(some)]
    said = pa.Table.from_pylist([{k: v for k, v in row.items() if k != "path"} for row in rows])
    for packed in ("none", "snappy"):
        stream = io.BytesIO()
        table = said.append_column("image", pa.array(cells))
        pq.write_table(table, stream, compression=packed, row_group_size=4)
        found.append((".parquet", stream.getvalue()))
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    found.append((".parquet", stream.getvalue()))
    for suffix, between in ((".csv", ","), (".tsv", "\t")):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), delimiter=between)
        writer.writeheader()
        writer.writerows(rows)
        found.append((suffix, text.getvalue().encode()))
    found.append((".jsonl", "\n".join(map(json.dumps, rows)).encode()))
    found.append((".json", json.dumps(rows).encode()))
    return found


def mutated(number: int) -> tuple[str, bytes]:
    """A suffix, and a file: the same for the same number."""
    rng = random.Random(number)
    suffix, whole = rng.choice(originals())
    data = bytearray(whole)
    how, place = rng.random(), rng.randrange(len(data))
    if how < 0.45:
        for _ in range(rng.randint(1, 12)):
            reach = rng.choice((600, 4000, len(data)))
            at = rng.randrange(min(len(data), reach))
            if rng.random() < 0.3:  # directories and footers lie at the end
                at = len(data) - 1 - at
            data[at] = rng.choice((0, 10, 34, 44, 48, 127, 128, 255, place % 256))
    elif how < 0.6:
        del data[place:]
    elif how < 0.75:
        del data[place : place + rng.choice((1, 7, 512, 1000))]
    elif how < 0.85:
        data[place:place] = rng.randbytes(rng.choice((1, 9, 512)))
    elif how < 0.93:
        other = rng.choice(originals())[1]
        data[place:] = other[rng.randrange(len(other)) :]
    else:
        start = rng.randrange(len(data))
        data[place:place] = data[start : start + rng.choice((100, 512, 2000))]
    return suffix, bytes(data)


def outcome(suffix: str, data: bytes, folder: Path) -> Counter[str]:
    """How many images, failed rows, or the one `message`; AssertionError where a row is neither."""
    path = folder / f"a{suffix}"
    path.write_bytes(data)
    try:
        found = found_in(path)
    except UserError as error:
        assert str(error) and error.hint
        return Counter(message=1)
    files = pa.concat_tables([found.files, found.unlisted])
    rows = listing.run({"files": files}, listing.Listing(layout="unlabelled"))
    assert len(rows) == len(files)
    counts: Counter[str] = Counter()
    for row in rows.select(["image_id", "width", "error"]).to_pylist():
        assert row["error"] or (row["image_id"] and row["width"])
        counts["failed rows" if row["error"] else "images"] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    slowest, started = (0.0, 0), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for data in {data for name, data in images() if name == "JPEG"}:
            for number in range(6):
                (Path(folder) / f"{number}.jpg").write_bytes(data)
        for number in range(options.first, options.first + options.files):
            before = time.perf_counter()
            try:
                counts += outcome(*mutated(number), Path(folder))
            except BaseException as error:
                raise SystemExit(f"file {number}: {type(error).__name__}: {error}") from error
            slowest = max(slowest, (time.perf_counter() - before, number))
    said = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
    peak = getrusage(RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{options.files:,} files in {time.perf_counter() - started:.0f} s: {said}")
    print(f"slowest: {slowest[0]:.2f} s (file {slowest[1]}); {peak:.0f} MiB at most")


if __name__ == "__main__":
    main()
