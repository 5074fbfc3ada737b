"""Images per second of `decode` against a bare Pillow loop on the same files.

    python tests/benchmarks/decode.py FOLDER [--limit N] [--rounds N] [--threads N]

The bare loop opens, decodes and converts to RGB, one file after the other; it hashes nothing and
checks nothing. The two take turns, and the medians are compared.
"""

import argparse
import statistics
import time

import pyarrow as pa
from PIL import Image

from pipeline.corpus.decode import decode
from pipeline.stages import listing
from pipeline.store.snapshot import sampled
from tests.helpers.corpora import found_in


def bare(uris: list[str]) -> int:
    """Decodes every file with Pillow alone; returns how many."""
    count = 0
    for uri in uris:
        with Image.open(uri) as image:
            image.convert("RGB")
        count += 1
    return count


def main() -> None:
    """Prints both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    chosen = sampled(found_in(arguments.folder).files, arguments.limit)
    parameters = listing.Listing(layout="unlabelled")
    table = listing.run({"files": chosen}, parameters)
    table = table.append_column("variant", pa.nulls(len(table), pa.string()))
    uris = table["uri"].to_pylist()
    rates: dict[str, list[float]] = {"bare loop": [], "decode": []}
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        bare(uris)
        rates["bare loop"].append(len(uris) / (time.perf_counter() - started))
        started = time.perf_counter()
        failed = sum(error is not None for _, _, error in decode(table, arguments.threads))
        rates["decode"].append(len(uris) / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{len(uris)} images, {failed} failed, {arguments.rounds} rounds")
    for name, rate in medians.items():
        print(f"{name:10} {rate:8.0f} images/s")
    ratio = medians["decode"] / medians["bare loop"]
    print(f"ratio      {ratio:8.2f} with {arguments.threads} thread(s)")


if __name__ == "__main__":
    main()
