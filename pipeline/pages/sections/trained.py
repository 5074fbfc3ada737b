"""How well each method does: the tables of the experiments, and curves of one run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.corpus.variants import CLEAN
from pipeline.head.figures.verdict import files_tell, in_words, of_mean_ap
from pipeline.head.report import run_table, study_table, sweep_table
from pipeline.head.report.robustness import robustness
from pipeline.head.result import Result, Study, over_seeds, own_rows
from pipeline.pages.blocks import Block, Figures, Heading, Rows, Words
from pipeline.pages.figures import curves, global_local
from pipeline.pages.figures import robustness as figure4
from pipeline.pages.table import table_of
from pipeline.query.questions import ask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NO_RUNS = (
    "The store has no run of this DAG as it is now: `item train DAG` makes one of each of its "
    "`experiments`."
)
_POINTS = 250  # of a curve: steps of 0.4 %


@dataclass(frozen=True)
class Chosen:
    """The run and method that curves and pictures are of."""

    result: Result
    method: str

    @property
    def words(self) -> str:
        """It, in a sentence."""
        seed = self.result.experiment.seed
        return f"{self.method} ({self.result.name}, seed {seed})"

    @property
    def asked(self) -> dict[str, Any]:
        """It, as parameters of the queries about a run."""
        return {"run": self.result.run_id, "method": self.method}


def chosen(studies: Mapping[str, Study]) -> Chosen | None:
    """The first experiment's first run, and of its heads the best on its validation images."""
    for study in studies.values():
        for results in study.values():
            for result in results:
                ap = {
                    row["method"]: row["validation_ap"] or 0.0
                    for row in own_rows(result)
                    if row["method"] in result.experiment.heads
                }
                if ap:
                    return Chosen(result, max(ap, key=lambda method: ap[method]))
    return None


def tables(studies: Mapping[str, Study]) -> list[Block]:
    """The tables of every experiment of the DAG."""
    if not studies:
        return [Words("The DAG has no `experiments`.", "quiet")]
    blocks: list[Block] = []
    for name, study in studies.items():
        blocks.append(Heading(name))
        blocks += _study(study) if study else [Words(NO_RUNS, "quiet")]
    return blocks


def _study(study: Study) -> list[Block]:
    if len(study) > 1:
        results = [result for several in study.values() for result in several]
        return [
            Rows(
                table_of(
                    study_table.matrix(study),
                    "average precision by tested generator, with the 95 % interval where there is "
                    "room; *: trained on too, in no mean over the unseen",
                )
            ),
            *_said(sweep_table.compared(results), "quiet"),
            *_files_tell(results),
        ]
    results = next(iter(study.values()))
    first = results[0]
    seeds = sorted({result.experiment.seed for result in results})
    about, *notes = run_table.about(first, seeds)
    blocks: list[Block] = _said([about.removeprefix(f"{first.name}: "), *notes])
    if len(results) > 1:
        blocks.append(
            Rows(
                table_of(
                    sweep_table.shown(results),
                    "mean ± sample standard deviation over seeds; [95 %]: of AP, had the test "
                    "images been others; chance: the AP of guessing",
                )
            )
        )
        return [*blocks, *_said(sweep_table.compared(results), "quiet")]
    blocks.append(
        Rows(
            table_of(
                run_table.shown(first),
                f"by tested generator; [95 %] of {first.experiment.bootstrap:,} bootstrap "
                "resamples; chance: the AP of guessing; verdicts at 0.5",
            )
        )
    )
    blocks += _said(run_table.under_verdicts(first), "quiet")
    if first.experiment.compare_to and first.means.num_rows:
        blocks.append(Rows(table_of(run_table.differences(first), "differences, with 95 %")))
        own = of_mean_ap(first.differences, first.experiment.variant)
        blocks += _said(in_words([own], first.experiment.bootstrap), "quiet")
    about = (
        "what validation images chose, and what came of it; →: from 0.5 to the threshold, and to "
        "the probabilities at temperature T"
    )
    blocks.append(Rows(table_of(run_table.chosen(first), about)))
    return blocks


def _said(lines: list[str], tone: Any = "plain") -> list[Block]:
    return [Words(_sentence(line), "warning" if _warns(line) else tone) for line in lines]


def _warns(line: str) -> bool:
    return line.strip().startswith("files tell")


def _sentence(lines: str) -> str:
    """Lines for a terminal as one: what is indented below the first is a list."""
    first, *rest = lines.strip().split("\n")
    if rest and all(line.startswith("  ") for line in rest):
        first = f"{first}: {'; '.join(line.strip() for line in rest)}"
    else:
        first = " ".join([first, *rest])
    return f"{first[:1].upper()}{first[1:]}."


def _files_tell(results: list[Result]) -> list[Block]:
    for result in results:
        if found := files_tell(own_rows(result)):
            return _said([found])
    return []


def curve_figures(connection: "DuckDBPyConnection", of: Chosen | None) -> list[Block]:
    """ROC, precision-recall and calibration of the chosen run's best method."""
    if of is None:
        return [Words(NO_RUNS, "quiet")]
    variant = of.result.experiment.variant
    rows = [
        row
        for row in of.result.metrics.to_pylist()
        if row["method"] == of.method and row["variant"] == variant
    ]
    points = ask(connection, "operating_points", points=_POINTS, variant=variant, **of.asked)
    bins = ask(connection, "calibration", variant=variant, **of.asked)
    blocks: list[Block] = [
        Words(
            f"Of {of.words}: of the run's heads the best on validation images, tested on "
            f"{sum(row['n'] for row in rows):,} rows. Generators that were trained on are among "
            f"them: {_seen(rows)}."
        )
    ]
    both = [row for row in rows if row["ap"] is not None]
    if not both:
        blocks.append(
            Words("No tested generator has real and fake images: there are no curves.", "quiet")
        )
        return blocks
    ece = sum(row["ece"] * row["n"] for row in rows) / sum(row["n"] for row in rows)
    figures = [
        curves.roc(points, {row["generator"]: row["auroc"] for row in both}, of.method),
        curves.precision_recall(
            points,
            {row["generator"]: row["ap"] for row in both},
            {row["generator"]: row["chance"] for row in both},
            of.method,
        ),
    ]
    if bins.num_rows:
        said = f"Mean calibration error over the generators: {ece:.3f}."
        figures.append(curves.calibration(bins, of.method, said))
    return [
        *blocks,
        Figures(figures),
        Words(
            f"Curves have at most {2 * _POINTS} points a generator: those nearer than "
            f"{1 / _POINTS:.1%} to the one before, in both rates, are left out, here and in the "
            "data.",
            "quiet",
        ),
    ]


def _seen(rows: list[dict[str, Any]]) -> str:
    return ", ".join(row["generator"] or "(none)" for row in rows if row["seen"]) or "none"


def paper_figures(studies: Mapping[str, Study]) -> list[Block]:
    """Figures 4 and 5 of every experiment that has what they show."""
    blocks: list[Block] = []
    for study in studies.values():
        for plain, results in study.items():
            several = {row["variant"] for row in results[0].means.to_pylist()}
            if len(several) > 1:
                blocks += [Heading(plain), *_figure4(results, plain)]
    fives = [
        global_local.global_local(_over(results), plain, _lines(results))
        for study in studies.values()
        for plain, results in _with_figure5(study)
    ]
    if not blocks:
        blocks.append(
            Words(
                "Figure 4 was not run: it needs images in variants (corpus.variants) and an "
                "experiment with `preset: figure4`, or `test_by: variant`.",
                "quiet",
            )
        )
    if not fives:
        blocks.append(
            Words("Figure 5 was not run: it needs an experiment on [global, local].", "quiet")
        )
        return blocks
    return [*blocks, Heading("Global, local, both"), Figures(fives)]


def _with_figure5(study: Study) -> list[tuple[str, list[Result]]]:
    """Of an experiment with many plain ones none: a figure each would say what its table says."""
    if len(study) > 1:
        return []
    wanted = set(global_local.METHODS)
    return [(name, rs) for name, rs in study.items() if wanted <= set(rs[0].experiment.methods)]


def _figure4(results: list[Result], name: str) -> list[Block]:
    rows = _over(results, variants=True)
    means = [row for row in rows if row["scope"] == "mean"]
    clean = {row["method"]: row["ap"] or 0.0 for row in means if row["variant"] == CLEAN}
    first = [method for method in global_local.METHODS if method in clean]
    others = [method for method in clean if method not in first]
    methods = [*first, *sorted(others, key=lambda one: -clean[one])][: figure4.METHODS]
    table = robustness(rows, "ap")
    return [
        Figures(figure4.robustness(means, methods, name)),
        Rows(
            table_of(
                table,
                "average precision in each variant, with its change from clean images; ~: the "
                "change's 95 % interval holds 0",
            )
        ),
    ]


def _over(results: list[Result], variants: bool = False) -> list[dict[str, Any]]:
    """The figures of one run, or over seeds; in the variant that was trained on, or in all."""
    if len(results) > 1:
        rows = over_seeds(results).to_pylist()
    else:
        rows = [*results[0].metrics.to_pylist(), *results[0].means.to_pylist()]
    own = results[0].experiment.variant
    return [row for row in rows if variants or row["variant"] == own]


def _lines(results: list[Result]) -> str:
    times = results[0].experiment.bootstrap
    if len(results) > 1:
        return f"mean ends of the 95 % intervals of {len(results)} seeds"
    return f"95 % intervals of {times:,} bootstrap resamples"
