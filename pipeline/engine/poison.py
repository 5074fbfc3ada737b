"""Finding the poison image: a part that fails or kills its process is halved until one row is left.

The row becomes a failed row; all others get their results. A part on which many rows fail is no
matter of poison: then the error itself is raised.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather

from pipeline.errors import UserError
from pipeline.stages import Parameters, Stage, get_stage

MAX_POISON = 8  # more failing rows than this in one part: the stage is at fault, not the rows
Inputs = Mapping[str, pa.Table]


class Died(Exception):
    """A child process ended without a result."""


def in_process(
    stage: Stage, parameters: Parameters, inputs: Inputs, loaded: Sequence[Any]
) -> pa.Table:
    """Runs a stage here; rows on which it raises become failed rows. UserErrors pass through."""
    return _survivors(stage, inputs, lambda some: stage.run(some, parameters, loaded))


def in_child(stage: Stage, parameters: Parameters, inputs: Inputs) -> pa.Table:
    """Runs a stage in a child process; rows on which the child dies become failed rows."""
    return _survivors(stage, inputs, lambda some: _child(stage, parameters, some))


def _survivors(stage: Stage, inputs: Inputs, run: Callable[[Inputs], pa.Table]) -> pa.Table:
    try:
        return run(inputs)
    except UserError:
        raise
    except Exception as error:
        first = next(iter(inputs.values()))
        if stage.key not in first.column_names:
            raise
        keys = pc.unique(first[stage.key]).to_pylist()
        pieces: list[pa.Table | _Poison] = []
        _halve(stage, inputs, run, keys, error, pieces)
        return _joined(stage, pieces, error, first)


@dataclass(frozen=True)
class _Poison:
    key: str
    why: str


def _halve(
    stage: Stage,
    inputs: Inputs,
    run: Callable[[Inputs], pa.Table],
    keys: list[str],
    error: Exception,
    pieces: list[pa.Table | _Poison],
) -> None:
    """Adds the results for `keys`, in order; `error` is what running them together raised."""
    if len(keys) == 1:
        pieces.append(_Poison(keys[0], f"{type(error).__name__}: {error}"[:500]))
        if sum(isinstance(piece, _Poison) for piece in pieces) > MAX_POISON:
            raise error
        return
    middle = len(keys) // 2
    for half in (keys[:middle], keys[middle:]):
        try:
            pieces.append(run(restrict(inputs, stage.key, half)))
        except UserError:
            raise
        except Exception as deeper:
            _halve(stage, inputs, run, half, deeper, pieces)


def _joined(
    stage: Stage, pieces: list[pa.Table | _Poison], error: Exception, first: pa.Table
) -> pa.Table:
    """The pieces as one table; `first` is the input whose rows have become these."""
    good = [piece for piece in pieces if isinstance(piece, pa.Table)]
    if not good:  # nothing worked: the error says more than a part full of failed rows
        raise error
    template = good[0].schema
    joined = []
    for piece in pieces:
        if isinstance(piece, _Poison):
            row = dict.fromkeys(template.names)
            row |= {stage.key: piece.key, "error": piece.why}
            if stage.output == "misalignment":
                row["level"] = "global"
            if stage.output == "images":  # which file it was, and in which variant
                (known,) = first.filter(pc.equal(first["image_id"], piece.key)).to_pylist()
                row |= {name: known[name] for name in ("uri", "variant", "sha256")}
            piece = pa.Table.from_pylist([row], schema=template)
        joined.append(piece)
    return pa.concat_tables(joined)


def restrict(inputs: Inputs, key: str, keys: Sequence[str]) -> dict[str, pa.Table]:
    """The rows of each table whose `key` is among `keys`; all where it has no such column."""
    wanted = pa.array(keys, pa.string())
    return {
        name: table.filter(pc.is_in(table[key], wanted)) if key in table.column_names else table
        for name, table in inputs.items()
    }


def _child(stage: Stage, parameters: Parameters, inputs: Inputs) -> pa.Table:
    with tempfile.TemporaryDirectory(prefix="item-") as folder:
        for name, table in inputs.items():
            feather.write_feather(table, f"{folder}/{name}.in", compression="uncompressed")
        Path(folder, "parameters.json").write_text(parameters.model_dump_json())
        command = [sys.executable, "-m", "pipeline.engine.poison", stage.name, folder]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        result = Path(folder, "result")
        if ended.returncode != 0 or not result.exists():
            last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
            raise Died(f"the process ended with status {ended.returncode} on this image: {last}")
        return feather.read_table(result, memory_map=False)


def main(stage_name: str, folder: Path) -> None:
    """The child: runs one stage on the tables in `folder` and leaves `result` there."""
    from pipeline import models

    stage = get_stage(stage_name)
    parameters = stage.parameters.model_validate_json((folder / "parameters.json").read_text())
    inputs = {p.stem: feather.read_table(p, memory_map=False) for p in folder.glob("*.in")}
    # `files` are no table of another node: see `pipeline.engine.task.Task`
    ordered = {name: inputs[name] for name in (*stage.inputs, "files") if name in inputs}
    loaded = [models.get(spec) for spec in stage.models(parameters)]
    result = stage.run(ordered, parameters, loaded)
    feather.write_feather(result, str(folder / "result"), compression="uncompressed")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
