"""A run as a person reads it, and as a table of plain values."""

import io

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.head.metrics import NAMES
from pipeline.head.run import Result
from pipeline.output import write


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
    shown = ("method", "generator", *NAMES, "n")
    return pa.table({name: [row[name] for row in rows] for name in shown})


def render(result: Result) -> str:
    """The run as plain text: what it was trained on, what was left out, the table, the folder."""
    stream = io.StringIO()
    stream.write(
        f"{result.name}: trained on {result.num_real:,} real and {result.num_fake:,} fake images"
        f" ({result.experiment.train}), seed {result.experiment.seed}\n"
    )
    for note in result.notes:
        stream.write(f"  {note}\n")
    write(summary(result), "table", stream)
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
