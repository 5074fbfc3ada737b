"""A run as a person reads it, and as a table of plain values."""

import io

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.head.bootstrap import NAMES as WITH_INTERVAL
from pipeline.head.metrics import NAMES
from pipeline.head.run import Result
from pipeline.output import write

_HEADERS = {"balanced_accuracy": "bal acc"}  # short ones, for a table of some 120 columns


def summary(result: Result) -> pa.Table:
    """Of each method: a row a test generator (seen ones first), then the mean over the unseen."""
    rows = []
    unseen = {mean["method"]: mean for mean in result.means.to_pylist()}
    for method in pc.unique(result.metrics["method"]).to_pylist():
        for row in result.metrics.filter(pc.equal(result.metrics["method"], method)).to_pylist():
            name = row["generator"] or "(none)"
            rows.append({**row, "generator": f"{name} (seen)" if row["seen"] else name})
        if mean := unseen.get(method):
            rows.append({**mean, "generator": f"mean of {mean['generators']} unseen"})
    ends = [f"{name}_{end}" for name in WITH_INTERVAL for end in ("low", "high")]
    shown = ("method", "generator", *NAMES, *ends, "n")
    return pa.table({name: [row[name] for row in rows] for name in shown})


def shown(result: Result) -> pa.Table:
    """The summary as it is printed: three digits, and intervals beside their figures."""
    table = summary(result)
    rows = table.to_pylist()
    columns: dict[str, list[object]] = {
        name: table[name].to_pylist() for name in table.column_names[:2]
    }
    for name in NAMES:
        header = _HEADERS.get(name, name)
        if name in WITH_INTERVAL and result.experiment.bootstrap:
            columns[f"{header} [95 %]"] = [_with_interval(row, name) for row in rows]
        else:
            columns[header] = [_digits(row[name]) for row in rows]
    return pa.table({**columns, "n": table["n"]})


def differences(result: Result) -> pa.Table:
    """Of each method but the one compared to: its mean AP's difference from that one's."""
    other = result.experiment.compare_to
    rows = [row for row in result.means.to_pylist() if row["method"] != other]
    values = [_with_interval(row, "ap_difference", "+") for row in rows]
    return pa.table(
        {"method": [row["method"] for row in rows], f"mean ap - that of {other}": values}
    )


def _with_interval(row: dict[str, float | None], name: str, sign: str = "") -> str | None:
    """Such as `0.981 [.970, .989]`; without the interval where there is none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None:
        return _digits(row[name], sign)
    # an end takes four characters, `.970` or `1.00`: two intervals have to fit beside the rest
    ends = (
        _digits(end, sign).replace("0.", ".", 1).replace("1.000", "1.00") for end in (low, high)
    )
    return f"{_digits(row[name], sign)} [{', '.join(ends)}]"


def _digits(value: float | None, sign: str = "") -> str | None:
    return None if value is None else f"{value:{sign}.3f}"


def render(result: Result) -> str:
    """The run as plain text: what it was trained on, what was left out, the tables, the folder."""
    experiment = result.experiment
    stream = io.StringIO()
    stream.write(
        f"{result.name}: trained on {result.num_real:,} real and {result.num_fake:,} fake images"
        f" ({experiment.train}), seed {experiment.seed}\n"
    )
    for note in result.notes:
        stream.write(f"  {note}\n")
    write(shown(result), "table", stream)
    if experiment.compare_to and result.means.num_rows:
        write(differences(result), "table", stream)
    if experiment.bootstrap:
        stream.write(f"[95 %]: intervals of {experiment.bootstrap:,} bootstrap resamples\n")
    one_class = pc.unique(result.metrics.filter(pc.is_null(result.metrics["ap"]))["generator"])
    if len(one_class):
        names = ", ".join(name or "(none)" for name in one_class.to_pylist())
        stream.write(f"only real or only fake test images, so no AP and no AUROC: {names}\n")
    if result.means.num_rows == 0:
        stream.write("no unseen generator among the test images, so no mean\n")
    took = "trained before, on the same inputs"
    if result.seconds is not None:
        took = f"{result.seconds:.1f} s"
    stream.write(f"saved in {result.folder} ({took})\n")
    return stream.getvalue()
