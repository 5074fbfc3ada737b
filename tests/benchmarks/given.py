"""What a million vectors of others cost: `stage: provided` for image embeddings, part by part.

    python -m tests.benchmarks.given FOLDER --images 1000000 --width 256 --parts 20

Writes the same float16 vectors below FOLDER as .npy with a list of keys, as .npz and as Parquet
(unless they are there), and for each, in a process of its own: seconds of CPU time to hash the file
(once a command and worker), to load it (once a worker), and, the median, for the rows of a part of
4,096 images that are neighbours in the file, and of one whose images lie anywhere in it; and what
memory of its own the process has then. `--rows` reads the Parquet row group by row group for each
part instead, as one would without writing it out: what that costs.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.stages.provided_embeddings import STAGE, ProvidedEmbeddingsParameters
from tests.helpers.images import images_table

PART = 4096
FORMS = {
    "npy": {"file": "vectors.npy", "list": "names.txt"},
    "npz": {"file": "vectors.npz"},
    "npz packed": {"file": "packed.npz"},
    "parquet": {"file": "vectors.parquet", "key": "path"},
}


def names(count: int) -> list[str]:
    """Paths below a root, as in a corpus of a million files."""
    return [f"train/sdv14/1_fake/{number // 1000:04d}/{number:09d}.png" for number in range(count)]


def write(folder: Path, count: int, width: int) -> None:
    """The files, unless they are there."""
    if (folder / "vectors.parquet").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    values = np.empty((count, width), np.float16)
    for start in range(0, count, 65_536):
        some = values[start : start + 65_536]
        some[:] = rng.standard_normal(some.shape, np.float32)
    keys = names(count)
    np.save(folder / "vectors.npy", values)
    (folder / "names.txt").write_text("\n".join(keys) + "\n")
    np.savez(folder / "vectors.npz", keys=np.array(keys), embeddings=values)
    np.savez_compressed(folder / "packed.npz", keys=np.array(keys), embeddings=values)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width)
    table = pa.table({"path": keys, "embedding": column})
    pq.write_table(table, folder / "vectors.parquet")


def own_memory() -> int:
    """MiB that this process has for itself: what it maps of files does not count."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) // 1024
    return 0


def parts(count: int, number: int) -> tuple[list[list[str]], list[list[str]]]:
    """The keys of `number` parts of neighbours, and of as many whose images lie anywhere."""
    keys, rng = names(count), np.random.default_rng(1)
    starts = np.linspace(0, count - PART, number).astype(int)
    near = [keys[start : start + PART] for start in starts]
    far = [[keys[at] for at in rng.choice(count, PART, replace=False)] for _ in range(number)]
    return near, far


def measure(folder: Path, form: str, count: int, number: int) -> None:
    """One line of the table, of one form."""
    context = {"base": folder, "root": "/corpus"}
    given = {"by": "path", **FORMS[form]}
    parameters = ProvidedEmbeddingsParameters.model_validate(given, context=context)
    (spec,) = STAGE.models(parameters)
    seconds = []
    for step in (spec.identity, spec.load):
        started = time.process_time()
        file = step()
        seconds.append(time.process_time() - started)
    for some in parts(count, number):
        spent = []
        for keys in some:
            listed = images_table(
                {
                    "image_id": [f"{at:032x}" for at in range(len(keys))],
                    "variant": ["clean"] * len(keys),
                    "uri": [f"/corpus/{key}" for key in keys],
                }
            )
            started = time.process_time()
            table = STAGE.run({"images": listed}, parameters, (file,))
            spent.append(time.process_time() - started)
            if table["error"].null_count != len(keys):
                raise SystemExit(f"{form}: rows failed")
        seconds.append(float(np.median(spent)))
    print(
        f"{form:12}" + "".join(f"{one:9.3f}" for one in seconds) + f"{own_memory():9}", flush=True
    )


def by_row_groups(folder: Path, count: int, number: int) -> None:
    """Of Parquet read anew for each part: seconds of neighbours, and of images anywhere."""
    file = pq.ParquetFile(folder / "vectors.parquet")
    places = {key: at for at, key in enumerate(names(count))}
    sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    ends, seconds = np.cumsum(sizes), []
    for some in parts(count, number):
        spent = []
        for keys in some:
            started = time.process_time()
            rows = np.array([places[key] for key in keys])
            groups = np.searchsorted(ends, rows, "right")
            for group in np.unique(groups):
                table = file.read_row_group(int(group), ["embedding"])
                own = rows[groups == group] - (ends[group] - sizes[group])
                table.take(pa.array(own))
            spent.append(time.process_time() - started)
        seconds.append(float(np.median(spent)))
    print(
        f"{'row groups':30}" + "".join(f"{one:9.3f}" for one in seconds) + f"{own_memory():9}",
        flush=True,
    )


def main() -> None:
    """Prints the table, each form in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--parts", type=int, default=20, help="of each kind")
    parser.add_argument("--rows", action="store_true", help="Parquet by row groups, to compare")
    parser.add_argument("--only", choices=FORMS)
    options = parser.parse_args()
    if options.only:
        measure(options.folder, options.only, options.images, options.parts)
        return
    write(options.folder, options.images, options.width)
    size = (options.folder / "vectors.npy").stat().st_size
    print(f"{options.images:,} x {options.width} float16, {size / 2**20:,.0f} MiB; parts of {PART}")
    columns = ("hash", "load", "near", "anywhere", "MiB")
    print(f"{'':12}" + "".join(f"{name:>9}" for name in columns), flush=True)
    command = [sys.executable, "-m", "tests.benchmarks.given", str(options.folder)]
    command += ["--images", str(options.images), "--parts", str(options.parts)]
    for form in FORMS:
        subprocess.run([*command, "--only", form], check=True)
    if options.rows:
        by_row_groups(options.folder, options.images, min(options.parts, 5))


if __name__ == "__main__":
    main()
