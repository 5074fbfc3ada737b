"""What the commands print: messages, exit codes, aligned rows."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.options import DEFAULT_STORE
from pipeline.errors import UserError, visible

if TYPE_CHECKING:
    from pipeline.plan.plan import Step
    from pipeline.query.questions import NamedQuery
    from pipeline.setup.fetch import Model
    from pipeline.setup.finding import Check
    from pipeline.store.totals import NodeTotal

_DUCKDB_INTERRUPTED = "Query interrupted"  # what it makes of Ctrl-C while it answers
FAILED_ROWS, USAGE, INTERRUPTED = 1, 2, 130  # exit codes; 0 is all well
# a command in a message: what comes before a DAG's name, and what may follow it
_ADVISED = re.compile(r"(item (?:run|plan|query|train|audit|models fetch)) DAG\b")


def say(text: str = "", err: bool = False) -> None:
    """Prints lines, with `err` on stderr; names and captions as a terminal may have them."""
    typer.echo(visible(text), err=err)


@contextmanager
def reported(
    dag: str | None = None,
    overrides: list[str] | None = None,
    limit: int | None = None,
    store: Path = DEFAULT_STORE,
) -> Iterator[Callable[[str], str]]:
    """Turns UserErrors and Ctrl-C into messages and exit codes; a bug keeps its traceback.

    Given what the command was given, advice names it: yields `addressed` of these.
    """

    def of_command(message: str) -> str:
        return addressed(message, dag, overrides, limit, store)

    try:
        yield of_command
    except UserError as error:
        say(f"error: {of_command(str(error))}", err=True)
        raise typer.Exit(USAGE) from None
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and str(error) != _DUCKDB_INTERRUPTED:
            raise
        say(
            "\ninterrupted: finished parts and saved runs are kept; run the same command to go on",
            err=True,
        )
        raise typer.Exit(INTERRUPTED) from None


def addressed(
    message: str,
    dag: str | None,
    overrides: list[str] | None = None,
    limit: int | None = None,
    store: Path = DEFAULT_STORE,
) -> str:
    """A message whose advice (`item run DAG …`) names the DAG, with these --set, --limit, --store.

    So it can be copied, and does what it says.
    """
    if dag is None:
        return message
    same = [dag]
    for override in overrides or []:
        same += ["--set", override]
    cached = ["--limit", str(limit)] if limit else []  # only commands on a store have these two
    if store != DEFAULT_STORE:
        cached += ["--store", str(store)]

    def address(match: re.Match[str]) -> str:
        words = same if match[1] == "item models fetch" else [*same, *cached]
        return f"{match[1]} {shlex.join(words)}"

    return _ADVISED.sub(address, message)


def print_json(value: object) -> None:
    """Plain values as indented JSON."""
    typer.echo(json.dumps(value, indent=1))


def print_totals(totals: "list[NodeTotal]") -> None:
    """The nodes of a run: parts, rows in = ok + failed, seconds, megabytes; mixed versions.

    Where there are images in variants, how many of the rows are theirs.
    """
    variants = any(total.rows_variants for total in totals)
    rows = [
        (
            total.node,
            f"{total.parts_done}/{total.parts}",
            total.rows_in,
            *([total.rows_variants] if variants else []),
            total.rows_ok,
            total.rows_failed,
            f"{total.seconds:.1f}",
            f"{total.bytes / 1e6:.1f}",
        )
        for total in totals
    ]
    of_these = ("of variants",) if variants else ()
    print_rows(("node", "parts", "rows in", *of_these, "ok", "failed", "seconds", "MB"), rows)
    for total in totals:
        if total.mixed:
            say(
                f"{total.node}: its parts were made by different versions: {total.mixed} "
                "(`item query DAG provenance`)"
            )


def print_checks(checks: "list[Check]") -> None:
    """Findings of the doctor, with what to do next (or what is worth knowing) below each."""
    width = max(len(check.what) for check in checks)
    for check in checks:
        mark = "NO" if not check.ok else "note" if check.hint else "ok"
        say(f"{mark:<4}  {check.what:<{width}}  {check.found}")
        if check.hint:
            say(f"      {'':<{width}}  -> {check.hint}")
    bad = sum(not check.ok for check in checks)
    say(f"{bad} of {len(checks)} checks failed" if bad else "all is well")


def print_models(models: "list[Model]") -> None:
    """The models of a DAG: state, revision, size, licence, place; below it, what is missing."""
    rows = [
        (m.name, m.state, m.revision[:12], f"{m.size / 1e6:.1f} MB", m.licence, m.where)
        if m.state != "missing"
        else (m.name, m.state, "", "", "", "")
        for m in models
    ]
    print_rows(("model", "", "revision", "size", "licence", "where"), rows)
    for model in models:
        if model.state == "missing":
            say(f"{model.name}: {model.problem}\n  next:  {model.hint}", err=True)


def print_plan(steps: "list[Step]", workers: int) -> None:
    """The steps of a plan, their measured costs and the sums; then what the costs go by."""
    from pipeline.plan.estimate import duration

    rows: list[tuple[object, ...]] = []
    for s in steps:
        cost = (duration(s.seconds), "unknown" if s.bytes is None else f"{s.bytes / 1e6:.1f}")
        rows.append((s.node, s.stage, f"{s.parts_done}/{s.parts}", s.images, *cost, s.reason))
    print_rows(("node", "stage", "parts", "images to do", "time", "MB", "why"), rows)
    seconds = sum(step.seconds or 0 for step in steps)
    size = sum(step.bytes or 0 for step in steps) / 1e6
    unknown = [step.node for step in steps if step.seconds is None]
    least = "at least " if unknown else ""
    total = f"{least}{duration(seconds)}, {least}{size:.1f} MB"
    nothing = unknown and not any(step.seconds for step in steps)
    said = "time and storage unknown" if nothing else total
    say(f"{workers} worker{'s' * (workers > 1)}: {said}")
    for basis in dict.fromkeys(step.basis for step in steps if step.basis):
        nodes = ", ".join(step.node for step in steps if step.basis == basis)
        say(f"  {nodes}: {basis}")


def print_queries(queries: "list[NamedQuery]") -> None:
    """The named queries, each with its parameters, their types and defaults below it."""
    rows: list[tuple[object, ...]] = []
    for query in queries:
        rows.append((query.name, query.question, query.row))
        for p in query.parameters.values():
            default = "" if p.default is None else f" ({p.default})"
            rows.append(("", f"  --param {p.name}={p.kind.upper()}{default}: {p.about}", ""))
    print_rows(("name", "question", "a row is"), rows)


def print_rows(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """Aligned text: numbers to the right, the last column unbounded."""
    cells = [header, *[tuple(str(value) for value in row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    numeric = [bool(rows) and all(isinstance(r[i], int) for r in rows) for i in range(len(header))]
    for row in cells:
        parts = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        say("  ".join(parts).rstrip())
