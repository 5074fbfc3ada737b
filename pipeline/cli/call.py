"""A command as it was given: what its messages repeat, how it ends, and the one shape of --json."""

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from pipeline.cli.options import DEFAULT_STORE, chosen_dag, limited
from pipeline.errors import UserError, visible
from pipeline.version import __version__

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store

FAILED_ROWS, USAGE, INTERRUPTED = 1, 2, 130  # exit codes; 0 is all well
_DUCKDB_INTERRUPTED = "Query interrupted"  # what it makes of Ctrl-C while it answers
# by the commands that Ctrl-C loses nothing of
_KEPT = {
    "run": "finished parts and saved runs are kept",
    "train": "saved runs are kept",
    "models fetch": "what was fetched is kept",
}
# a command in a message: what comes before a DAG's name, and what may follow it
_ADVISED = re.compile(
    r"(item (?:run|plan|query|train|audit|report|export|verify|models fetch)) DAG\b"
)


@dataclass(frozen=True)
class Call:
    """A command with its DAG (given, or the one in the current folder), --set, --limit, --store.

    `as_json`: whether it answers machines. They get one JSON object, the same of every command:

    - `item` (the version), `command`, `dag`, `store` (null where the command has none), `exit`;
    - `tables`: names -> arrays of one object a row (what people see as tables, and more columns);
    - `facts`: names -> single values;
    - `error`: null, or an object of `what`, `where` and `next`. Then there is no table.
    """

    command: str
    dag: str | None = None
    overrides: Sequence[str] = field(default_factory=tuple)
    limit: int | None = None
    store: Path | None = DEFAULT_STORE
    as_json: bool = False

    def addressed(self, message: str) -> str:
        """A message whose advice (`item run DAG …`) names this DAG, with --set, --limit, --store.

        So it can be copied, and does what it says.
        """
        if self.dag is None:
            return message
        same = [self.dag]
        for override in self.overrides:
            same += ["--set", override]
        cached = ["--limit", str(self.limit)] if self.limit else []  # only commands on a store
        if self.store not in (None, DEFAULT_STORE):
            cached += ["--store", str(self.store)]

        def address(match: re.Match[str]) -> str:
            words = same if match[1] == "item models fetch" else [*same, *cached]
            return f"{match[1]} {shlex.join(words)}"

        return _ADVISED.sub(address, message)

    def opened(self) -> "tuple[Dag, Store]":
        """The DAG, and its store to ask.

        Models that are not on this machine are told of, and a listing that has lost parts.
        """
        from pipeline.dag.graph import load
        from pipeline.store.parts import Store
        from pipeline.store.upkeep.gone import warning

        cache = Store(self.store or DEFAULT_STORE)
        graph = load(self.dag or "", limited(list(self.overrides), self.limit), cache.recipes)
        if graph.absent:
            say(f"note: {graph.absence}", err=True)
        if lost := warning(graph, cache):
            say(self.addressed(f"warning: {lost}"), err=True)
        return graph, cache

    def answer(
        self,
        tables: Mapping[str, Any] | None = None,
        exit: int = 0,
        error: UserError | None = None,
        **facts: Any,
    ) -> None:
        """Prints the JSON object. `tables`: names -> rows, as mappings or as an Arrow table."""
        from pipeline.output.formats import json_rows
        from pipeline.output.values import plain

        def written(value: Any) -> str:
            return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)

        out = sys.stdout
        store = None if self.store is None else str(self.store.expanduser().resolve())
        head = {"item": __version__, "command": self.command, "dag": self.dag, "store": store}
        for name, value in {**head, "exit": exit}.items():
            out.write(f"{'{' if name == 'item' else ','}\n {written(name)}: {written(value)}")
        out.write(',\n "tables": {')
        for number, (name, rows) in enumerate((tables or {}).items()):
            out.write(f"{',' if number else ''}\n  {written(name)}: [")
            lines = map(written, rows) if isinstance(rows, Sequence) else json_rows(rows)
            for place, line in enumerate(lines):
                out.write(f"{',' if place else ''}\n   {line}")
            out.write("]")
        fault = error and {"what": error.what, "where": error.where, "next": error.hint}
        if fault and fault["next"]:
            fault["next"] = self.addressed(fault["next"])
        out.write(f'}},\n "facts": {written(facts)},\n "error": {written(fault)}\n}}\n')
        out.flush()


def say(text: str = "", err: bool = False) -> None:
    """Prints lines, with `err` on stderr; names and captions as a terminal may have them."""
    typer.echo(visible(text), err=err)


def _failed(call: Call, error: UserError) -> NoReturn:
    """Says it, in words or as JSON, and ends the command."""
    say(f"error: {call.addressed(str(error))}", err=True)
    if call.as_json:
        call.answer(exit=USAGE, error=error)
    raise typer.Exit(USAGE) from None


def _damaged(error: Exception) -> UserError | None:
    """A damaged part that an answer met; nothing is imported to tell."""
    if "duckdb" not in sys.modules:
        return None
    from pipeline.query.damaged import damaged

    return damaged(error)


@contextmanager
def reported(
    command: str,
    dag: str | None = None,
    overrides: list[str] | None = None,
    limit: int | None = None,
    store: Path | None = DEFAULT_STORE,
    as_json: bool = False,
    needs_dag: bool = True,
) -> Iterator[Call]:
    """Turns UserErrors and Ctrl-C into messages and exit codes; a bug keeps its traceback.

    Yields the call. Without a `dag`, one that `needs_dag` is about the one in the current folder.
    """
    call = Call(command, dag, tuple(overrides or ()), limit, store, as_json)
    try:
        if needs_dag:
            chosen = chosen_dag(dag)
            call = Call(command, chosen, call.overrides, limit, store, as_json)
        yield call
    except UserError as error:
        _failed(call, error)
    except (KeyboardInterrupt, Exception) as error:
        duckdbs = isinstance(error, RuntimeError) and str(error) == _DUCKDB_INTERRUPTED
        if not duckdbs and not isinstance(error, KeyboardInterrupt):
            if (fault := _damaged(error)) is None:
                raise
            _failed(call, fault)
        kept = f": {_KEPT[command]}; run the same command to go on" if command in _KEPT else ""
        said = f"interrupted{kept}"
        say(f"\n{said}", err=True)
        if as_json:
            call.answer(exit=INTERRUPTED, error=UserError(said))
        raise typer.Exit(INTERRUPTED) from None
