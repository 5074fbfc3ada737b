"""A run as a person reads it, and as a table of plain values."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.variants import CLEAN
from pipeline.head.figures.bootstrap import NAMES as RESAMPLED
from pipeline.head.figures.evaluate import CHOICES
from pipeline.head.figures.metrics import CHOSEN, NAMES
from pipeline.head.figures.verdict import files_tell, in_words, of_mean_ap
from pipeline.head.figures.wording import digits, generator_name, interval, with_interval
from pipeline.head.report.robustness import robustness_lines
from pipeline.head.result import Result, by_method, own_rows
from pipeline.head.rows.selection import names
from pipeline.output.table import folded, lines

# short headers, for tables of at most some 120 columns
_VERDICTS = {
    "ap": "ap",
    "chance": "chance",
    "auroc": "auroc",
    "fpr95": "fpr95",
    "accuracy": "accuracy",
    "balanced_accuracy": "bal acc",
    "tnr": "tnr",
    "tpr": "tpr",
}
_WITH_INTERVAL = ("ap", "accuracy")
_FIRST = ("method", "generator", "ap [95 %]", "ap")  # where room is short
# header -> (as it is, with what validation chose); one of them alone where there are not two
_CHOSEN = {
    "threshold": ("threshold",),
    "bal acc": ("balanced_accuracy", "balanced_accuracy_at_threshold"),
    "T": ("temperature",),
    "nll": ("nll", "nll_scaled"),
    "ece": ("ece", "ece_scaled"),
    "unsure": ("share_unsure",),
    "right": ("accuracy_sure",),
}


def summary(result: Result) -> pa.Table:
    """Of each method: a row a test generator (seen ones first), then the mean over the unseen.

    In the variant of the images that the run was trained on.
    """
    rows = [{**row, "generator": generator_name(row)} for row in own_rows(result)]
    ends = [f"{name}_{end}" for name in RESAMPLED for end in ("low", "high")]
    shown = ("method", "scope", "seen", "generator", *NAMES, *ends, *CHOICES, *CHOSEN, "n")
    return pa.table({name: [row[name] for row in rows] for name in shown})


def shown(result: Result) -> pa.Table:
    """Ranking, and verdicts at 0.5: three digits, and intervals beside their figures."""
    table = summary(result)
    rows = table.to_pylist()
    columns: dict[str, list[object]] = {
        name: table[name].to_pylist() for name in ("method", "generator")
    }
    for name, header in _VERDICTS.items():
        if name in _WITH_INTERVAL and result.experiment.bootstrap:
            columns[f"{header} [95 %]"] = [with_interval(row, name) for row in rows]
        else:
            columns[header] = [digits(row[name]) for row in rows]
    return pa.table({**columns, "n": table["n"]})


def chosen(result: Result) -> pa.Table:
    """What validation chose, and what came of it on seen generators and in the mean of the unseen.

    Without a mean, all generators.
    """
    rows = summary(result).to_pylist()
    if result.means.num_rows:
        rows = [row for row in rows if row["seen"] or row["scope"] == "mean"]
    columns = {name: [row[name] for row in rows] for name in ("method", "generator")}
    for header, figures in _CHOSEN.items():
        pairs = [[digits(row[name]) for name in figures] for row in rows]
        columns[header] = [None if None in pair else " -> ".join(pair) for pair in pairs]
    return pa.table(columns)


def differences(result: Result) -> pa.Table:
    """Of each method its mean AP's difference from that of each method compared to, a column."""
    columns: dict[str, dict[str, str | None]] = {}
    for row in of_mean_ap(result.differences, result.experiment.variant):
        own = columns.setdefault(f"mean ap - that of {row['compare_to']}", {})
        own[row["method"]] = interval(row["difference"], row["low"], row["high"], "+")
    methods = [
        name for name in result.experiment.methods if any(name in c for c in columns.values())
    ]
    values = {header: [own.get(name) for name in methods] for header, own in columns.items()}
    return pa.table({"method": methods, **values})


def tuned(result: Result) -> str:
    """What each method left open and validation images decided, in words."""
    rows = {row["method"]: row["tuned"] for row in result.metrics.to_pylist() if row["tuned"]}
    said = "; ".join(f"{method} {what}" for method, what in rows.items())
    return f"chosen on them too: {said}"


def never_sure(result: Result) -> list[str]:
    """Of each method that no probability makes sure of a verdict: which, in words."""
    lines = []
    rows = {row["method"]: row for row in result.metrics.to_pylist()}
    for method, row in rows.items():
        columns = {"real": row["unsure_low"], "fake": row["unsure_high"]}
        if never := [verdict for verdict, cut in columns.items() if cut is None]:
            lines.append(f"{method} is never sure of: {', '.join(never)}")
    return lines


def render(result: Result, width: int | None = None) -> str:
    """The run as plain text: what it was trained on, what was left out, the tables, the folder.

    `width`: the columns of a terminal, into which texts and tables then fit.
    """
    experiment = result.experiment
    said = prose(about(result, [result.experiment.seed]), width)
    if "variant" in experiment.test_by:
        rows = [row for method in by_method(result) for row in method]
        said += robustness_lines(rows, "generator" in experiment.test_by, width)
    else:
        said += lines(shown(result), width, _FIRST)
    said += prose(under_verdicts(result), width)
    said += lines(chosen(result), width)
    said += prose(_under_chosen(result), width)
    if experiment.compare_to and result.means.num_rows:
        said += lines(differences(result), width)
        said += prose(
            in_words([of_mean_ap(result.differences, experiment.variant)], experiment.bootstrap),
            width,
        )
    last = []
    if experiment.bootstrap:
        last.append(f"[95 %]: intervals of {experiment.bootstrap:,} bootstrap resamples")
    took = "trained before, on the same inputs"
    if result.seconds is not None:
        took = f"{result.seconds:.1f} s"
    said += prose([*last, f"saved in {result.folder} ({took})"], width)
    return "".join(f"{line}\n" for line in said)


def prose(texts: Iterable[str], width: int | None) -> list[str]:
    """Sentences in lines that fit into `width`; each in one line without a width."""
    found = []
    for line in (line for text in texts for line in text.split("\n")):
        start = line[: len(line) - len(line.lstrip())]
        found += folded(line.lstrip(), width, start, f"{start}  ")
    return found


def _under_chosen(result: Result) -> Iterator[str]:
    yield (
        "threshold, temperature T and unsure band were chosen on validation images, the band so "
        f"that {result.experiment.sure_at:.0%} of the sure verdicts on images like these are "
        "expected to be right; "
        "->: from 0.5 to the threshold, and to the probabilities at T"
    )
    yield tuned(result)
    for line in never_sure(result):
        yield f"{line}: too few validation images beyond any cut, or too many wrong"


def about(result: Result, seeds: list[int]) -> list[str]:
    """What a run was trained and validated on, and what was left out."""
    experiment = result.experiment
    where = experiment.validation
    if where is None:
        where = f"{experiment.validation_share:.0%} of what `train` selects, set aside"
    return [
        "{}: trained on {:,} real and {:,} fake images{} ({}), {} {}".format(
            result.name,
            *result.trained_on,
            "" if experiment.variant == CLEAN else f" in the variant {experiment.variant}",
            experiment.train,
            "seed" if len(seeds) == 1 else "seeds",
            ", ".join(str(seed) for seed in seeds),
        ),
        "  validated on {:,} real and {:,} fake images ({})".format(*result.validated_on, where),
        *(f"  {note}" for note in result.notes),
        *([told] if (told := files_tell(own_rows(result))) else []),
    ]


def under_verdicts(result: Result) -> list[str]:
    """What has to be known to read the table: overlap, classes and means that are not there."""
    lines = []
    if result.overlap:
        lines.append(
            f"allow_overlap: fakes of {names(result.overlap)} were trained on, other ones tested; "
            "in no mean over the unseen"
        )
    one_class = pc.unique(result.metrics.filter(pc.is_null(result.metrics["ap"]))["generator"])
    if len(one_class):
        lines.append(
            "only real or only fake test images, so no AP and no AUROC, and in no mean (the "
            f"experiment's `reals` names real images for them): {names(one_class.to_pylist())}"
        )
    if result.means.num_rows == 0:
        lines.append("no unseen generator with real and fake test images, so no mean")
    return lines
