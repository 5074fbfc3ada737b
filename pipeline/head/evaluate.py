"""Test probabilities in, tables out: predictions row by row, metrics by generator, their means."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.head.metrics import NAMES, metrics

PREDICTIONS = pa.schema(
    {
        "method": pa.string(),
        "image_id": pa.string(),
        "generator": pa.string(),
        "split": pa.string(),
        "label": pa.int8(),
        "probability": pa.float64(),  # of fake
    }
)
METRICS = pa.schema(
    {
        "method": pa.string(),
        "generator": pa.string(),
        "seen": pa.bool_(),  # whether fakes of this generator were trained on
        **dict.fromkeys(NAMES, pa.float64()),  # null where a group lacks reals or fakes
        **dict.fromkeys(("n", "num_real", "num_fake"), pa.int64()),
    }
)


def predictions(test: pa.Table, probabilities: Mapping[str, np.ndarray]) -> pa.Table:
    """A row a method and test row. `probabilities`: method -> float64 [n], in `test`'s order."""
    keys = test.select(["image_id", "generator", "split", "label"])
    tables = [
        keys.append_column("method", pa.array([method] * len(keys), pa.string()))
        .append_column("probability", pa.array(values, pa.float64()))
        .select(PREDICTIONS.names)
        for method, values in probabilities.items()
    ]
    return pa.concat_tables(tables).cast(PREDICTIONS)


def by_generator(predicted: pa.Table, trained_on: set[str | None]) -> pa.Table:
    """A row a method and test generator: `trained_on` first, then the others by name."""
    order = sorted(
        pc.unique(predicted["generator"]).to_pylist(),
        key=lambda generator: (generator not in trained_on, generator or ""),
    )
    rows = []
    for method in pc.unique(predicted["method"]).to_pylist():
        of_method = predicted.filter(pc.equal(predicted["method"], method))
        for generator in order:
            named = pc.is_null(of_method["generator"])
            if generator is not None:
                named = pc.fill_null(pc.equal(of_method["generator"], generator), False)
            group = of_method.filter(named)
            values = metrics(group["label"].to_numpy(), group["probability"].to_numpy())
            seen = generator in trained_on
            rows.append({"method": method, "generator": generator, "seen": seen, **values})
    return pa.Table.from_pylist(rows, METRICS)


def means(measured: pa.Table) -> pa.Table:
    """A row a method: the mean of each metric over the unseen generators that have it."""
    unseen = measured.filter(pc.invert(measured["seen"]))
    total = unseen.group_by("method", use_threads=False).aggregate(
        [(name, "mean") for name in NAMES]
        + [(name, "sum") for name in ("n", "num_real", "num_fake")]
        + [("generator", "count", pc.CountOptions(mode="all"))]
    )
    return total.rename_columns(["method", *NAMES, "n", "num_real", "num_fake", "generators"])
