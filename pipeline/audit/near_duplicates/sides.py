"""What each experiment of a DAG trains on, and what it tests: nothing should be on both sides."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.head.rows.presets import expand
from pipeline.head.rows.selection import read_sides
from pipeline.head.rows.variant_rows import contents

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.dag.experiment import Experiment

# (image ids of what is trained or validated on, those of what is tested); or why they are not known
Sides = tuple[pa.ChunkedArray, pa.ChunkedArray] | str


def tested_against(
    connection: "DuckDBPyConnection", experiments: Mapping[str, "Experiment"]
) -> dict[str, Sides]:
    """Both sides of every plain experiment; of several with the same sides the first."""
    found: dict[str, Sides] = {}
    asked = set()
    for name, experiment in experiments.items():
        try:
            plain = expand(connection, experiment, name)
        except UserError as error:
            found[name] = error.what
            continue
        for plain_name, several in plain.items():
            for one in several.expand():
                sides = (one.train, one.validation, one.test, str(one.reals), one.variant)
                if sides not in asked:
                    asked.add(sides)
                    key = f"{plain_name}: {one.train}" if plain_name in found else plain_name
                    found[key] = _sides(connection, one, plain_name)
    return found


def _sides(connection: "DuckDBPyConnection", experiment: "Experiment", name: str) -> Sides:
    partial = experiment.model_copy(update={"partial": True})
    try:
        rows = read_sides(connection, partial, name)
    except UserError as error:
        return error.what
    test = contents(rows.pop("test").table)
    known = pa.chunked_array(
        [chunk for side in rows.values() for chunk in contents(side.table).chunks], pa.string()
    )
    return known, test
