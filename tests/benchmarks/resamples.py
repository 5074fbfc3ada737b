"""What the intervals of a large test set take: `python -m tests.benchmarks.resamples`.

A million rows of eight generators that share their reals, eleven methods, 1,000 resamples. Beside
them what scikit-learn's average_precision_score and roc_auc_score take for a few of the same
resamples, one after the other, as much as all would take.
"""

import argparse
import time
from resource import RUSAGE_SELF, getrusage

import numpy as np
import pyarrow as pa
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.head.figures.evaluate import measure


def table(rows: int, generators: int, methods: int) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """As many reals as fakes for each generator; a method gives the same real one score."""
    rng, each = np.random.default_rng(0), rows // generators // 2
    label = np.tile(np.repeat([0, 1], each), generators)
    ids = [
        f"{'fake' if fake else 'real'} {generator if fake else ''} {place}"
        for generator in range(generators)
        for fake in (0, 1)
        for place in range(each)
    ]
    names = np.repeat([f"generator {number}" for number in range(generators)], 2 * each)
    columns = {"image_id": ids, "variant": ["clean"] * len(ids), "label": label, "generator": names}
    reals = rng.standard_normal((methods, each))
    scores = rng.standard_normal((methods, len(label))) + 0.8 * label
    scores[:, label == 0] = np.tile(reals, generators)
    return pa.table(columns), {f"method {m}": 1 / (1 + np.exp(-z)) for m, z in enumerate(scores)}


def of_scikit_learn(test: pa.Table, scores: np.ndarray, generators: int, times: int) -> float:
    """Seconds of one method, one generator and one resample."""
    rng, each = np.random.default_rng(0), len(test) // generators
    label, p = test["label"].to_numpy()[:each], scores[:each]
    started = time.perf_counter()
    for _ in range(times):
        drawn = np.bincount(rng.integers(each, size=each), minlength=each)
        average_precision_score(label, p, sample_weight=drawn)
        roc_auc_score(label, p, sample_weight=drawn)
    return (time.perf_counter() - started) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--generators", type=int, default=8)
    parser.add_argument("--methods", type=int, default=11)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    test, probabilities = table(options.rows, options.generators, options.methods)
    started, cpu = time.perf_counter(), time.process_time()
    measure(test, probabilities, set(), ("method 0",), options.resamples)
    seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    peak = getrusage(RUSAGE_SELF).ru_maxrss / 2**20
    print(f"measured: {seconds:.0f} s, {spent:.0f} CPU s, {peak:.2f} GiB at most")
    one = of_scikit_learn(test, probabilities["method 0"], options.generators, 10)
    whole = one * options.generators * options.methods * options.resamples
    print(f"scikit-learn, {1000 * one:.0f} ms a resample and generator: {whole:,.0f} CPU s for all")


if __name__ == "__main__":
    main()
