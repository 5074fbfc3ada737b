"""Finding the poison image: a part that fails or kills its process is halved until one row is left.

The row becomes a failed row; all others get their results. A part on which many rows fail is no
matter of poison: then the error itself is raised.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import pulse
from pipeline.engine import child
from pipeline.engine.child import Patience
from pipeline.engine.health import device_fault
from pipeline.errors import UserError
from pipeline.spec import Parameters, Stage

MAX_POISON = 8  # more failing rows than this in one part: the stage is at fault, not the rows
Inputs = Mapping[str, pa.Table]
_ENDLESS = Patience()


def in_process(
    stage: Stage, parameters: Parameters, inputs: Inputs, loaded: Sequence[Any]
) -> pa.Table:
    """Runs a stage here; rows on which it raises become failed rows.

    UserErrors pass through. DeviceFault when this process has lost its device: no row's fault.
    """
    return _survivors(stage, inputs, lambda some: stage.run(some, parameters, loaded))


def in_child(
    stage: Stage, parameters: Parameters, inputs: Inputs, patience: Patience = _ENDLESS
) -> pa.Table:
    """Runs a stage in child processes; rows on which a child dies, or hangs, become failed rows."""
    rows = max(1, next(iter(inputs.values())).num_rows)

    def run(some: Inputs) -> pa.Table:
        share = next(iter(some.values())).num_rows / rows
        return child.run(stage, parameters, some, patience, share)

    return _survivors(stage, inputs, run)


def _survivors(stage: Stage, inputs: Inputs, run: Callable[[Inputs], pa.Table]) -> pa.Table:
    try:
        return run(inputs)
    except UserError:
        raise
    except Exception as error:
        device_fault.pass_on(error)
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
            pulse.beat()
            pieces.append(run(restrict(inputs, stage.key, half)))
        except UserError:
            raise
        except Exception as deeper:
            device_fault.pass_on(deeper)
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
