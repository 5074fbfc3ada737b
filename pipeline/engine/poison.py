"""Finding the poison images: a part that fails or kills its process is halved until each is alone.

These become failed rows, however many they are; all others get their results. Before the first is
blamed, when nothing has worked yet, a harmless picture is tried in its place: where the stage fails
on that too, it is no matter of poison, and the error itself is raised.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import pulse
from pipeline.engine import child
from pipeline.engine.child import Patience
from pipeline.engine.health import control, device_fault
from pipeline.errors import UserError, reason_of
from pipeline.spec import Parameters, Stage

_log = logging.getLogger(__name__)

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
        return _Halving(stage, inputs, run).table(keys, error)


@dataclass(frozen=True)
class _Poison:
    key: str
    why: str


class _Halving:
    """The search through one part: about 2 log2(rows) runs of the stage for each poison image."""

    def __init__(self, stage: Stage, inputs: Inputs, run: Callable[[Inputs], pa.Table]):
        self._stage, self._inputs, self._run = stage, inputs, run
        self._schema: pa.Schema | None = None  # of the output, once anything has worked

    def table(self, keys: list[str], error: Exception) -> pa.Table:
        """The rows of all `keys`, in order; `error` is what running them together raised."""
        pieces = list(self._pieces(keys, error))
        if self._schema is None:  # nothing worked: the error says more than a part of failed rows
            raise error
        if not any(isinstance(piece, _Poison) for piece in pieces):
            together = f"{self._stage.name} failed on {len(keys)} images together, and on fewer not"
            _log.warning("%s: %s", together, reason_of(error))
        return pa.concat_tables(
            pa.Table.from_pylist(self._failed(piece), schema=self._schema)
            if isinstance(piece, _Poison)
            else piece
            for piece in pieces
        )

    def _pieces(self, keys: list[str], error: Exception) -> Iterator[pa.Table | _Poison]:
        if len(keys) == 1:
            if self._schema is None:
                self._try_harmless(keys, error)
            yield _Poison(keys[0], reason_of(error))
            return
        middle = len(keys) // 2
        for half in (keys[:middle], keys[middle:]):
            try:
                pulse.beat()
                table = self._run(restrict(self._inputs, self._stage.key, half))
            except UserError:
                raise
            except Exception as deeper:
                device_fault.pass_on(deeper)
                yield from self._pieces(half, deeper)
            else:
                self._schema = table.schema
                yield table

    def _try_harmless(self, keys: list[str], error: Exception) -> None:
        """Raises `error`, of one image, when the stage fails on a plain picture as well."""
        try:
            table = control.answer(restrict(self._inputs, self._stage.key, keys), self._run)
        except UserError:
            raise
        except Exception as same:
            device_fault.pass_on(same)
            raise error from same
        if table is not None:
            self._schema = table.schema

    def _failed(self, poison: _Poison) -> list[dict[str, Any]]:
        """The rows that stand for an image: as many as its objects where the output has objects."""
        row = {self._stage.key: poison.key, "error": poison.why}
        own = restrict(self._inputs, self._stage.key, [poison.key])
        if self._stage.output == "images":  # which file it was, and in which variant
            known = next(iter(own.values())).to_pylist()[0]
            return [row | {name: known.get(name) for name in ("uri", "variant", "sha256")}]
        if self._stage.output == "misalignment":
            return [row | {"level": "global"}]
        objects = next((one for one in own.values() if "object_no" in one.column_names), None)
        if objects is None or "object_no" not in (self._schema or pa.schema([])).names:
            return [row]
        return [row | {"object_no": number} for number in objects["object_no"].to_pylist()]


def restrict(inputs: Inputs, key: str, keys: Sequence[str]) -> dict[str, pa.Table]:
    """The rows of each table whose `key` is among `keys`; all where it has no such column."""
    wanted = pa.array(keys, pa.string())
    return {
        name: table.filter(pc.is_in(table[key], wanted)) if key in table.column_names else table
        for name, table in inputs.items()
    }
