"""The runs of a sweep as a person reads them: means and standard deviations over the seeds."""

import io
from collections.abc import Sequence

import pyarrow as pa

from pipeline.head.figures.verdict import in_words, of_mean_ap
from pipeline.head.figures.wording import digits, ends, generator_name
from pipeline.head.report.robustness import write_robustness
from pipeline.head.report.run_table import about, render, under_verdicts
from pipeline.head.result import Result, configurations, over_seeds
from pipeline.query.answers import write

_SHOWN = {
    "validation_ap": "validation ap",
    "ap": "ap",
    "auroc": "auroc",
    "accuracy": "accuracy",
    "balanced_accuracy": "bal acc",
    "balanced_accuracy_at_threshold": "at threshold",
}


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


def as_plain(results: Sequence[Result]) -> dict[str, object]:
    """Run folder, metrics and means of an experiment as JSON values; `runs` of these if several."""
    plain: list[dict[str, object]] = [
        {
            "run": str(result.folder),
            "metrics": result.metrics.to_pylist(),
            "means": result.means.to_pylist(),
            "differences": result.differences.to_pylist(),
        }
        for result in results
    ]
    return plain[0] if len(plain) == 1 else {"runs": plain}


def render_sweep(results: Sequence[Result]) -> str:
    """The runs of one experiment as plain text; a single run with all its tables."""
    if len(results) == 1:
        return render(results[0])
    stream = io.StringIO()
    first = results[0]
    for line in about(first, seeds=sorted({result.experiment.seed for result in results})):
        stream.write(f"{line}\n")
    write(shown(results), "table", stream)
    if "variant" in first.experiment.test_by:
        write_robustness(
            over_seeds(results).to_pylist(), "generator" in first.experiment.test_by, stream
        )
    for line in under_verdicts(first):
        stream.write(f"{line}\n")
    own = "" if first.experiment.validation else ", each with validation images of its own"
    stream.write(f"±: sample standard deviation over seeds{own}\n")
    if first.experiment.bootstrap:
        stream.write(
            "[95 %]: of ap, had the test images been others; the mean ends of the seeds' "
            f"{first.experiment.bootstrap:,} bootstrap resamples\n"
        )
    for said in compared(results):
        stream.write(f"{said}\n")
    if any(configurations(results)):
        stream.write(
            "choose between configurations by `validation ap`: the rest is of test images\n"
        )
    for result, configuration in zip(results, configurations(results), strict=True):
        what = f"{configuration}, seed {result.experiment.seed}".removeprefix(", ")
        stream.write(f"saved in {result.folder} ({what})\n")
    return stream.getvalue()
