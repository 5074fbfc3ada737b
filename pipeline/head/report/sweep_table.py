"""The runs of a sweep as a person reads them: means and standard deviations over the seeds."""

from collections.abc import Sequence

import pyarrow as pa

from pipeline.head.figures.verdict import in_words, of_mean_ap
from pipeline.head.figures.wording import digits, ends, generator_name
from pipeline.head.report.robustness import robustness_lines
from pipeline.head.report.run_table import about, prose, render, under_verdicts
from pipeline.head.result import Result, configurations, over_seeds
from pipeline.output.table import lines

_SHOWN = {
    "validation_ap": "validation ap",
    "ap": "ap",
    "auroc": "auroc",
    "accuracy": "accuracy",
    "balanced_accuracy": "bal acc",
    "balanced_accuracy_at_threshold": "at threshold",
}
_FIRST = ("configuration", "method", "generator", "ap", "[95 %]")  # where room is short


def shown(results: Sequence[Result]) -> pa.Table:
    """Of each configuration and method: what was seen in training, and the mean over the unseen.

    Without such a mean, all generators. In the variant of the images that a run was trained on.
    """
    own = {result.experiment.variant for result in results}
    rows = [row for row in over_seeds(results).to_pylist() if row["variant"] in own]
    if any(row["scope"] == "mean" for row in rows):
        rows = [row for row in rows if row["seen"] or row["scope"] == "mean"]
    columns: dict[str, list[object]] = {}
    if any(row["configuration"] for row in rows):
        columns["configuration"] = [row["configuration"] for row in rows]
    columns["method"] = [row["method"] for row in rows]
    columns["generator"] = [generator_name(row) for row in rows]
    several = any(row["ap_low"] is not None for row in rows)
    for name, header in _SHOWN.items():
        columns[header] = [with_std(row[name], row[f"{name}_std"]) for row in rows]
        if name == "ap" and several:
            columns["[95 %]"] = [ends(row["ap_low"], row["ap_high"]) for row in rows]
        if name == "ap":
            columns["chance"] = [digits(row["chance"]) for row in rows]
    return pa.table({**columns, "runs": [row["runs"] for row in rows]})


def compared(results: Sequence[Result]) -> list[str]:
    """Which methods are ahead of those that they are compared to, in how many of the runs."""
    own = [of_mean_ap(result.differences, result.experiment.variant) for result in results]
    return in_words(own, min(result.experiment.bootstrap for result in results))


def with_std(mean: float | None, std: float | None) -> str | None:
    """Such as `0.981 ± 0.004`; without the deviation where there is none."""
    if mean is None or std is None:
        return digits(mean)
    return f"{mean:.3f} ± {std:.3f}"


def render_sweep(results: Sequence[Result], width: int | None = None) -> str:
    """The runs of one experiment as plain text; a single run with all its tables.

    `width`: the columns of a terminal, into which texts and tables then fit.
    """
    if len(results) == 1:
        return render(results[0], width)
    first = results[0]
    said = prose(about(first, sorted({result.experiment.seed for result in results})), width)
    said += lines(shown(results), width, _FIRST)
    if "variant" in first.experiment.test_by:
        rows = over_seeds(results).to_pylist()
        said += robustness_lines(rows, "generator" in first.experiment.test_by, width)
    last = under_verdicts(first)
    own = "" if first.experiment.validation else ", each with validation images of its own"
    last.append(f"±: sample standard deviation over seeds{own}")
    if first.experiment.bootstrap:
        last.append(
            "[95 %]: of ap, had the test images been others; the mean ends of the seeds' "
            f"{first.experiment.bootstrap:,} bootstrap resamples"
        )
    last += compared(results)
    if any(configurations(results)):
        last.append("choose between configurations by `validation ap`: the rest is of test images")
    for result, configuration in zip(results, configurations(results), strict=True):
        what = f"{configuration}, seed {result.experiment.seed}".removeprefix(", ")
        last.append(f"saved in {result.folder} ({what})")
    return "".join(f"{line}\n" for line in [*said, *prose(last, width)])
