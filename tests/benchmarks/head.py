"""Training speed of the head: `python tests/benchmarks/head.py`.

Rows per second of `pipeline.head.methods.train` (standardisation, shuffle, schedule, loss and
checks included) against a bare torch loop over the same tensors in memory: three epochs each,
interleaved, medians. Another figure: how fast `gather` brings vectors out of Parquet.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline import tables
from pipeline.dag.experiment import HeadConfig
from pipeline.head.methods.train import train
from pipeline.head.vectors.gather import gather
from pipeline.head.vectors.parts import locate
from pipeline.query.questions import connect

EPOCHS = 3


def bare(x: torch.Tensor, y: torch.Tensor, hidden: int, batch: int) -> None:
    """What one would write by hand: no shuffle of rows, no schedule, no standardisation."""
    model = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    loss = torch.nn.BCEWithLogitsLoss()
    for _ in range(EPOCHS):
        for rows, target in zip(x.split(batch), y.split(batch), strict=True):
            optimizer.zero_grad()
            loss(model(rows).squeeze(-1), target).backward()
            optimizer.step()


def training(rows: int, width: int, hidden: int, batch: int, repeats: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, width), dtype=np.float32)
    y = (x[:, 0] > 0).astype(np.int8)
    config = HeadConfig(hidden=(hidden,), epochs=EPOCHS, batch_size=batch)
    ours, floor = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        bare(torch.from_numpy(x), torch.from_numpy(y.astype(np.float32)), hidden, batch)
        middle = time.perf_counter()
        train(x, y, config)
        floor.append(EPOCHS * rows / (middle - started))
        ours.append(EPOCHS * rows / (time.perf_counter() - middle))
    print(
        f"train {width}-{hidden}-1, batch {batch}, {torch.get_num_threads()} threads: "
        f"{median(ours):,.0f} rows/s; bare torch loop {median(floor):,.0f}; "
        f"ratio {median(o / f for o, f in zip(ours, floor, strict=True)):.2f}"
    )


def gathering(rows: int, width: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [f"{number:032x}" for number in range(rows)]
    vectors = tables.vectors(rng.standard_normal((rows, width), dtype=np.float32))
    parts = {}
    for name, columns in {
        "images": {"format": ["JPEG"] * rows},
        "features": {"global": vectors, "local": vectors, "cosine_global": [0.0] * rows},
        "image_embeddings": {"embedding": vectors},
    }.items():
        parts[name] = (name, [folder / name / "part.parquet"])
        parts[name][1][0].parent.mkdir()
        table = tables.build(name, {"image_id": ids, **columns}, width)
        pq.write_table(table, parts[name][1][0], use_dictionary=False, row_group_size=10_000)
    started = time.perf_counter()
    (part,) = locate(connect(parts), pa.array(ids))
    x = gather(part, {"global", "local", "image", "cosine_global"})
    seconds = time.perf_counter() - started
    size = sum(matrix.nbytes for matrix in x.values()) / 2**20
    print(f"gather {rows:,} x 3 x {width}: {seconds:.1f} s, {size / seconds:,.0f} MiB/s of float16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=1536)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    training(options.rows, options.width, options.hidden, options.batch, options.repeats)
    with tempfile.TemporaryDirectory() as folder:
        gathering(options.rows, options.width // 2, Path(folder))


if __name__ == "__main__":
    main()
