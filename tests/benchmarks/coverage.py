"""How often a 95 % interval of the table holds the true value, by simulation.

    python -m tests.benchmarks.coverage [--replications 400] [--images 300]

Eight generators of as many reals as fakes, two methods whose scores go together (r = 0.7); the mean
over the generators of AP, AUROC and balanced accuracy, and the difference of the methods' APs.
Scores of reals are N(0, 1), those of fakes N(m, 1) with another m for each generator, so that the
true values are known: of AP, which is higher in small test sets, the mean of test sets of this
size. Reals are separate, or the same for all generators, as in UnivFD's diffusion sets and in
GenImage; then few fakes, hardly told, as with a baseline near chance. The last row takes shared
reals for separate ones. Asked is 93 to 97 %.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from pipeline.head.figures.evaluate import measure, split
from pipeline.head.figures.verdict import of_mean_ap

MEANS = {"one": np.linspace(0.6, 2.0, 8), "other": np.linspace(0.5, 1.6, 8)}  # of fakes' scores
HARDLY = {"one": np.linspace(0.0, 0.4, 8), "other": np.linspace(0.0, 0.2, 8)}
FEW = 7.5  # so many times fewer fakes
TOGETHER = 0.7  # the correlation of both methods' scores
SHIFT = 0.6  # a score from here on is called fake
RESAMPLES = 500
ASKED = (0.93, 0.97)
SCENARIOS = (
    "separate reals",
    "shared reals",
    "separate reals, few fakes, hardly told",
    "shared reals, taken for separate",
)


def of_fakes(scenario: str, images: int) -> tuple[dict[str, np.ndarray], int]:
    """The means of their scores, by method, of each generator; and how many there are."""
    return (HARDLY, round(images / FEW)) if "few fakes" in scenario else (MEANS, images)


@cache
def truth(scenario: str, images: int, drawn: int = 4000) -> dict[str, float]:
    """The true means over the generators, by column of METRICS; method 'one'.

    AP: of so many drawn test sets of a generator.
    """
    means, fakes = of_fakes(scenario, images)
    rng = np.random.default_rng(1)

    def ap(m: float) -> float:
        scores = rng.standard_normal((drawn, images + fakes))
        scores[:, images:] += m
        right = np.argsort(-scores, axis=1) >= images
        precision = right.cumsum(1) / np.arange(1, images + fakes + 1)
        return float((precision * right).sum(1).mean() / fakes)

    aps = {name: np.mean([ap(m) for m in each]) for name, each in means.items()}
    own = means["one"]
    return {
        "ap": aps["one"],
        "auroc": norm.cdf(own / np.sqrt(2)).mean(),
        "balanced_accuracy": ((norm.cdf(SHIFT) + norm.sf(SHIFT, own)) / 2).mean(),
        "ap_difference": aps["one"] - aps["other"],
    }


def drawn(rng: np.random.Generator, count: int) -> np.ndarray:
    """Scores of both methods for `count` images, float64 [2, count]."""
    return np.linalg.cholesky([[1, TOGETHER], [TOGETHER, 1]]) @ rng.standard_normal((2, count))


def held(scenario: str, images: int, number: int) -> dict[str, bool]:
    """Whether each interval of one simulated table holds the true value."""
    rng = np.random.default_rng([SCENARIOS.index(scenario), number])
    shared, (means_of, fakes) = drawn(rng, images), of_fakes(scenario, images)
    scores, ids, label, generators = [], [], [], []
    for generator in range(8):
        reals = shared if scenario.startswith("shared") else drawn(rng, images)
        means = np.array([[means_of[name][generator]] for name in ("one", "other")])
        scores += [reals, drawn(rng, fakes) + means]
        of = 0 if scenario == "shared reals" else generator
        ids += [f"r{of}-{n}" for n in range(images)] + [f"f{generator}-{n}" for n in range(fakes)]
        label += [0] * images + [1] * fakes
        generators += [f"g{generator}"] * (images + fakes)
    test = pa.table(
        {
            "image_id": ids,
            "variant": ["clean"] * len(ids),
            "label": label,
            "generator": generators,
        }
    )
    one, other = 1 / (1 + np.exp(SHIFT - np.concatenate(scores, axis=1)))
    scores = {"one": one, "other": other}
    found, differences = measure(test, scores, set(), ("other",), RESAMPLES, seed=number)
    row = split(found)[1].to_pylist()[0]
    (apart,) = of_mean_ap(differences, "clean")
    row |= {f"ap_difference_{end}": apart[end] for end in ("low", "high")}
    return {
        name: row[f"{name}_low"] <= value <= row[f"{name}_high"]
        for name, value in truth(scenario, images).items()
    }


def main(words: list[str] | None = None) -> int:
    """Prints a row for each scenario; 1 when any but the last is not as asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replications", type=int, default=400)
    parser.add_argument("--images", type=int, default=300, help="of each label of a generator")
    options = parser.parse_args(words)
    names = ["ap", "auroc", "balanced_accuracy", "ap_difference"]
    print(f"{'share of intervals that hold the true mean':44}" + "".join(f"{n:>19}" for n in names))
    good = True
    with ProcessPoolExecutor(mp_context=get_context("forkserver")) as pool:
        for scenario in SCENARIOS:
            one = partial(held, scenario, options.images)
            found = list(pool.map(one, range(options.replications), chunksize=4))
            shares = [sum(row[name] for row in found) / len(found) for name in names]
            print(f"{scenario:44}" + "".join(f"{share:>19.3f}" for share in shares), flush=True)
            if scenario != SCENARIOS[-1]:
                good &= all(ASKED[0] <= share <= ASKED[1] for share in shares)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
