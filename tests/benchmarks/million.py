"""A million images: `python -m tests.benchmarks.million FOLDER`.

FOLDER is what `million_store` writes; it is written first where it is missing. On the training
images of the store's experiment `all_generators`, with a head of 1536-512-1:

- an epoch that streams, against the same loop on tensors in memory, against scikit-learn's
  MLPClassifier (`partial_fit` by pieces) on a NumPy memmap of the same rows;
- logistic regression that streams, to its end, against scikit-learn's LogisticRegression on that
  memmap;
- the average precision that each of them has on the test images, and what the best head has;
- evaluating as many rows of eight generators, all methods of a table, with bootstrap resamples;
- the whole experiment, as `item train` runs it.

Every contender runs in a process of its own, which tells its peak memory (the resident set, with
libraries; of a memmap with those of its pages that are in memory). The first three are interleaved
in rounds, of which medians are shown. Run it alone on the machine.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median
from subprocess import run

import numpy as np
import pyarrow as pa
import torch
from sklearn.metrics import average_precision_score

from pipeline.dag.experiment import HeadConfig
from pipeline.dag.graph import load
from pipeline.head.figures import evaluate
from pipeline.head.methods import train as training
from pipeline.head.methods.logistic import logistic_over_blocks
from pipeline.head.rows.selection import select
from pipeline.head.vectors import memory
from pipeline.head.vectors.row_reader import InMemory, Source
from pipeline.head.vectors.sides import samples
from pipeline.head.vectors.stream import Column, Streamed
from pipeline.query.open_store import connect
from pipeline.store.parts import Store
from tests.benchmarks import million_store
from tests.benchmarks.million_world import GENERATORS, expected_ap

EXPERIMENT = "all_generators"
FEATURES = ("global", "local")
_PIECE = 16_384  # rows of a memmap that scikit-learn gets at a time


@dataclass(frozen=True)
class Data:
    """The files of one side, its labels in their order, and its rows as float32 in one file."""

    columns: list[Column]
    y: np.ndarray
    memmap: Path

    def streamed(self, memory: int) -> Streamed:
        return Streamed(self.columns, np.arange(len(self.y)), memory)

    def mapped(self) -> np.ndarray:
        width = sum(column.width for column in self.columns)
        return np.memmap(self.memmap, np.float32, "r", shape=(len(self.y), width))


@dataclass(frozen=True)
class Outcome:
    """What one contender did: seconds, peak memory in bytes, average precision."""

    seconds: float
    peak: int
    ap: float | None = None


def opened(out: Path, width: int, rows: int | None) -> dict[str, Data]:
    """Both sides, of whose files at most `rows` count."""
    found = {}
    for side in ("train", "test"):
        y = np.load(out / f"{side}.label.npy")[:rows]
        half = np.dtype(np.float16)
        columns = [Column(out / f"{side}.{name}", len(y), width, half) for name in FEATURES]
        found[side] = Data(columns, y, out / f"{side}.float32")
    return found


def prepare(folder: Path, out: Path, allowed: int) -> None:
    """Writes both sides' files into `out`, of what an experiment reads."""
    dag, store = load(str(folder / "dag.yaml")), Store(folder / "store")
    connection = connect(dag, store, runs=False)
    experiment = dag.experiments[EXPERIMENT]
    selection = select(connection, experiment, EXPERIMENT)
    out.mkdir(exist_ok=True)
    with samples(connection, selection, experiment, allowed, print) as streams:
        for side in ("train", "test"):
            for name in FEATURES:
                with (out / f"{side}.{name}").open("wb") as file:
                    for block in streams.take((name,), side).blocks():
                        file.write(block.half().numpy().tobytes())  # what the cache has: exact
            source = streams.take(FEATURES, side)
            with (out / f"{side}.float32").open("wb") as file:
                for block in source.blocks():
                    file.write(block.numpy().tobytes())
            label = np.empty(len(source), np.int8)  # by image: a test row is one in a generator
            label[streams.rows[side]] = selection.sides[side].label
            np.save(out / f"{side}.label.npy", label[source.order])


def _timed(fit: Callable[[], Callable[[np.ndarray], np.ndarray] | None], test: Data) -> Outcome:
    """Runs `fit`, which gives what ranks rows of a matrix."""
    started = time.perf_counter()
    rank = fit()
    seconds, peak = time.perf_counter() - started, _peak()
    blocks = test.streamed(10**8).blocks()
    scores = np.concatenate([rank(block.numpy()) for block in blocks])
    return Outcome(seconds, peak, float(average_precision_score(test.y, scores)))


def _peak() -> int:
    return getrusage(RUSAGE_SELF).ru_maxrss * 1024


def _head(source: Source, y: np.ndarray, options: argparse.Namespace) -> Callable:
    config = HeadConfig(hidden=(options.hidden,), epochs=1, batch_size=options.batch)
    training._ONE_CORE_MINUTE = 0  # one epoch of many: all cores, as for a whole training
    return training.train(source, y, config).head.probabilities


def streamed_head(sides: dict[str, Data], options: argparse.Namespace) -> Outcome:
    data = sides["train"]
    source = data.streamed(memory.parse(options.memory) // 2)  # as an experiment has it
    return _timed(lambda: _head(source, data.y, options), sides["test"])


def held_head(sides: dict[str, Data], options: argparse.Namespace) -> Outcome:
    data = sides["train"]
    source = InMemory(np.array(data.mapped()))
    return _timed(lambda: _head(source, data.y, options), sides["test"])


def mlp_classifier(sides: dict[str, Data], options: argparse.Namespace) -> Outcome:
    from sklearn.neural_network import MLPClassifier

    x, y = sides["train"].mapped(), sides["train"].y
    model = MLPClassifier((options.hidden,), batch_size=options.batch, random_state=0)

    def fit() -> Callable:
        starts = np.random.default_rng(0).permutation(np.arange(0, len(x), _PIECE))
        for start in starts:
            model.partial_fit(x[start : start + _PIECE], y[start : start + _PIECE], classes=[0, 1])
        return lambda block: model.predict_proba(block)[:, 1]

    return _timed(fit, sides["test"])


def streamed_logistic(sides: dict[str, Data], options: argparse.Namespace) -> Outcome:
    data = sides["train"]

    def fit() -> Callable:
        weight, mean, bias = logistic_over_blocks(
            data.streamed(memory.parse(options.memory) // 2), data.y
        )
        return lambda block: ((torch.from_numpy(block) - mean) @ weight + bias).numpy()

    return _timed(fit, sides["test"])


def logistic_regression(sides: dict[str, Data], options: argparse.Namespace) -> Outcome:
    from sklearn.linear_model import LogisticRegression

    x, y = sides["train"].mapped(), sides["train"].y
    return _timed(
        lambda: LogisticRegression(max_iter=1000).fit(x, y).decision_function, sides["test"]
    )


def evaluation(sides: dict[str, Data], options: argparse.Namespace) -> Outcome:
    """`evaluate.measure` of made-up probabilities of some methods, all generators sharing reals."""
    rows = options.evaluated // len(GENERATORS) * len(GENERATORS)
    rng = np.random.default_rng(0)
    label = np.tile(np.repeat([0, 1], rows // len(GENERATORS) // 2 + 1), len(GENERATORS))[:rows]
    generator = np.repeat(GENERATORS, rows // len(GENERATORS))
    z = rng.standard_normal((options.methods, rows)) + label
    place = np.tile(np.arange(rows // len(GENERATORS)), len(GENERATORS))
    own = np.where(label == 0, 0, 1 + np.arange(rows) // (rows // len(GENERATORS)))
    test = pa.table(
        {
            "image_id": [f"{one}-{n}" for one, n in zip(own.tolist(), place.tolist(), strict=True)],
            "label": label.astype(np.int8),
            "generator": generator,
            "variant": ["clean"] * rows,
        }
    )
    p = {f"method {number}": 1 / (1 + np.exp(0.5 - own)) for number, own in enumerate(z)}
    started = time.perf_counter()
    table, _ = evaluate.measure(test, p, set(), ("method 0",), options.resamples)
    seconds = time.perf_counter() - started
    first = table.to_pylist()[0]
    here = generator == first["generator"]
    assert first["ap"] == average_precision_score(label[here], p["method 0"][here])
    return Outcome(seconds, _peak(), first["ap"])


CONTENDERS = {
    "streamed": streamed_head,
    "in memory": held_head,
    "MLPClassifier": mlp_classifier,
    "logistic, streamed": streamed_logistic,
    "LogisticRegression": logistic_regression,
    "evaluation": evaluation,
}


def _alone(name: str, sides: dict[str, Data], options: argparse.Namespace) -> Outcome:
    context = get_context("forkserver")
    context.set_forkserver_preload([__spec__.name])  # libraries are imported once for all of them
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(CONTENDERS[name], sides, options).result()


def experiment(folder: Path, options: argparse.Namespace) -> Outcome:
    """`item train`, which also saves its run in the store."""
    command = [sys.executable, "-m", "pipeline", "train", str(folder / "dag.yaml"), EXPERIMENT]
    command += ["--store", str(folder / "store"), "--memory", options.memory]
    before = getrusage(RUSAGE_CHILDREN).ru_maxrss
    started = time.perf_counter()
    run(command, check=True)
    peak = getrusage(RUSAGE_CHILDREN).ru_maxrss
    if peak <= before:
        sys.exit("an earlier child took more memory: measure the experiment with --only alone")
    return Outcome(time.perf_counter() - started, peak * 1024)


def lines(found: dict[str, list[Outcome]], options: argparse.Namespace, rows: int) -> list[str]:
    """The table, a line a contender; a ratio is to the line above of the same group."""
    wanted = [expected_ap(None, local=True), expected_ap(None)]
    out = [
        f"{options.images:,} images; {rows:,} training images of {2 * options.width} numbers, head "
        f"of {options.hidden}, batches of {options.batch}; the best head's AP: {wanted[0]:.4f}",
        f"{'':28} {'seconds':>8} {'rows/s':>8} {'ratio':>6} {'peak GiB':>8} {'AP':>7}",
    ]
    first: dict[str, float] = {}
    groups = {"in memory": "head", "streamed": "head", "MLPClassifier": "head"}
    groups |= {"logistic, streamed": "logistic", "LogisticRegression": "logistic"}
    for name, outcomes in found.items():
        seconds = median(one.seconds for one in outcomes)
        group = groups.get(name)
        base = first.setdefault(group or name, seconds)
        ratio = f"{base / seconds:.2f}" if group else ""
        speed = f"{rows / seconds:,.0f}" if group == "head" else ""
        ap = f"{outcomes[0].ap:.4f}" if group else ""
        peak = max(one.peak for one in outcomes) / 2**30
        out.append(f"{name:28} {seconds:8.1f} {speed:>8} {ratio:>6} {peak:8.2f} {ap:>7}")
    return out


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what million_store writes")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rows", type=int, help="of a side at most (default: the experiment's)")
    parser.add_argument(
        "--scratch", type=Path, help="keep the contenders' files here, and use them"
    )
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--evaluated", type=int, default=1_000_000, help="rows")
    parser.add_argument("--methods", type=int, default=11)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=["heads", "logistic", "evaluation", "all"])
    options = parser.parse_args(arguments)
    wanted = set(options.only or ["heads", "logistic", "evaluation", "all"])
    if not (options.folder / "dag.yaml").exists():
        million_store.write(options.folder, options.images, options.width)
    found: dict[str, list[Outcome]] = {}
    rows = 0
    if "all" in wanted:  # first: a child's peak is only told as the highest of all so far
        found["item train"] = [experiment(options.folder, options)]
    with tempfile.TemporaryDirectory(prefix="million-") as temporary:
        scratch = options.scratch or Path(temporary)
        sides: dict[str, Data] = {}
        if wanted & {"heads", "logistic"}:
            if not (scratch / "test.label.npy").exists():  # the last one that is written
                prepare(options.folder, scratch, memory.parse(options.memory))
            sides = opened(scratch, options.width, options.rows)
            rows = len(sides["train"].y)
        for _ in range(options.rounds if "heads" in wanted else 0):
            for name in ("in memory", "streamed", "MLPClassifier"):
                found.setdefault(name, []).append(_alone(name, sides, options))
        if "logistic" in wanted:
            for name in ("logistic, streamed", "LogisticRegression"):
                found[name] = [_alone(name, sides, options)]
    if "evaluation" in wanted:
        found["evaluation"] = [_alone("evaluation", {}, options)]
    print("\n".join(lines(found, options, rows)))


if __name__ == "__main__":
    main()
