"""How often the 95 % intervals of `hypothesis` hold the true value, by simulation.

    python -m tests.benchmarks.hypothesis_coverage [--replications 2000]

Cosines of reals are N(0.6, 0.1), those of fakes lower by m, of a standard deviation of 0.1 or 0.2;
so the true difference is m, and the true Cliff's delta follows from the normal distribution. Each
replication is a variant of one listing, and `versus_reals`, the macro that the named queries ask,
has the intervals of all at once. First one generator, then the mean of four, whose reals are their
own, or the same for all; the last row takes shared reals for separate ones. Asked is 93 to 97 %. At
the end: of tables of eight generators without any difference, how many have a verdict that says
otherwise? Asked is no more than 5 %, two standard errors allowed.
"""

import argparse
import sys
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import norm

from pipeline.query.questions import execute, named_queries
from pipeline.query.views import macros
from pipeline.shipped import folder

ASKED = (0.93, 0.97)
CENTRE, SPREAD = 0.6, 0.1
FAMILY = 400  # tables of eight generators
READS = ("content_labels", "cosine_steps", "t_area", "t_bound", "versus_reals")


@dataclass(frozen=True)
class Scenario:
    """`less`: of each generator how much lower its fakes' cosines are; `wider`: their spread."""

    reals: int
    fakes: int
    less: tuple[float, ...]
    wider: float = 1.0
    shared: bool = False
    apart: bool = False  # shared reals listed as if each generator had its own

    @property
    def name(self) -> str:
        """As a row of the table calls it."""
        spread = "the same spread" if self.wider == 1 else f"{self.wider:g} times the spread"
        of = f"{self.reals} reals, {self.fakes} fakes of {spread}"
        if len(self.less) == 1:
            return f"{of}, lower by {self.less[0]:g}"
        own = "taken for own" if self.apart else "shared" if self.shared else "own"
        return f"mean of {len(self.less)}: {of}, reals {own}"

    @property
    def truth(self) -> tuple[float, float]:
        """The true difference and the true delta."""
        deltas = 2 * norm.cdf(np.array(self.less) / SPREAD / np.hypot(1, self.wider)) - 1
        return float(np.mean(self.less)), float(np.mean(deltas))


FOUR = (0.0, 0.04, 0.08, 0.12)
SCENARIOS = [
    *(
        Scenario(reals, fakes, (less,), wider)
        for reals, fakes in ((50, 50), (400, 100))
        for wider in (1, 2)
        for less in (0.0, 0.08, 0.2)
    ),
    Scenario(50, 50, FOUR, 2),
    Scenario(50, 50, FOUR, 2, shared=True),
    Scenario(200, 100, FOUR, 1, shared=True),
    Scenario(200, 100, FOUR, 1, shared=True, apart=True),
]


def opened(scenario: Scenario, replications: int, seed: int) -> duckdb.DuckDBPyConnection:
    """A connection with the macros over a listing and this many variants of its cosines."""
    rng = np.random.default_rng([seed, *scenario.name.encode()])
    listed: list[tuple[str, int, str]] = []  # image, label, generator
    columns: list[np.ndarray] = []  # of each image a cosine a replication

    def add(generators: list[str], label: int, cosines: np.ndarray) -> None:
        for column in cosines:
            listed.extend((f"{len(columns):032x}", label, name) for name in generators)
            columns.append(column)

    names = [f"g{number}" for number in range(len(scenario.less))]
    same = rng.normal(CENTRE, SPREAD, (scenario.reals, replications))
    if scenario.shared and not scenario.apart:
        add(names, 0, same)
    for name, less in zip(names, scenario.less, strict=True):
        own = rng.normal(CENTRE, SPREAD, same.shape)
        if scenario.apart or not scenario.shared:
            add([name], 0, same if scenario.apart else own)
        shape = (scenario.fakes, replications)
        add([name], 1, rng.normal(CENTRE - less, SPREAD * scenario.wider, shape))
    ids = [f"{n:032x}-v{v}" for n in range(len(columns)) for v in range(replications)]
    image_id, label, generator = zip(*listed, strict=True)
    listing = pa.table({"image_id": image_id, "label": label, "generator": generator})
    cosine = pa.array(np.concatenate(columns), pa.float32())
    misalignment = pa.table({"image_id": ids, "cosine": cosine})
    connection = duckdb.connect()
    connection.register("listed", listing)
    connection.register("measured", misalignment)
    connection.execute("create table listing as from listed")
    connection.execute("create table misalignment as select *, 'global' as level from measured")
    for name in macros():
        if name in READS:
            text = (folder("sql") / "macros" / f"{name}.sql").read_text("utf-8")
            connection.execute(text)
    return connection


def held(scenario: Scenario, replications: int, seed: int = 0) -> tuple[float, float]:
    """The shares of intervals that hold the true difference, and the true delta."""
    with opened(scenario, replications, seed) as connection:
        found = connection.execute(
            "select avg((? between low and high)::integer), "
            "avg((? between 2 * auroc_low - 1 and 2 * auroc_high - 1)::integer) "
            "from versus_reals(null, null) where generators = ? and level = 'global'",
            [*scenario.truth, len(scenario.less)],
        ).fetchone()
    assert found is not None
    return found


def wrong_families(tables: int, seed: int = 0) -> float:
    """Of tables of eight generators that do not differ the share with a verdict that they do."""
    sql = named_queries()["hypothesis"].sql
    with opened(Scenario(50, 50, (0.0,) * 8, 2), tables, seed) as connection:
        wrong = 0
        for number in range(tables):
            rows = execute(connection, sql, [f"variant=v{number}"])
            verdicts = rows.filter(pc.equal(rows["level"], "global"))["verdict"]
            wrong += set(verdicts.to_pylist()) != {"no difference"}
    return wrong / tables


def main(words: list[str] | None = None) -> int:
    """Prints a row for each scenario; 1 when one but the last is not as asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replications", type=int, default=2000)
    options = parser.parse_args(words)
    print(f"{'share of intervals that hold the true value':66}  difference  delta")
    good = True
    for scenario in SCENARIOS:
        shares = held(scenario, options.replications)
        print(f"{scenario.name:66}  {shares[0]:10.3f}  {shares[1]:5.3f}", flush=True)
        if not scenario.apart:
            good &= all(ASKED[0] <= share <= ASKED[1] for share in shares)
    wrong = wrong_families(FAMILY)
    print(f"eight generators without a difference, some verdict that there is one: {wrong:.3f}")
    return int(not good or wrong > 0.05 + 2 * np.sqrt(0.05 * 0.95 / FAMILY))


if __name__ == "__main__":
    sys.exit(main())
