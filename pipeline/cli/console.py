"""What the commands print for people: tables, and what is to be said below them."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.cli.call import say

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag
    from pipeline.plan.plan import Step
    from pipeline.query.questions import NamedQuery
    from pipeline.setup.fetch import Model
    from pipeline.setup.finding import Check
    from pipeline.store.totals import NodeTotal


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
    from pipeline.output.table import folded, width_of

    screen = width_of(sys.stdout)
    width = max(len(check.what) for check in checks)
    if screen is not None:
        width = min(width, screen // 3)
    below = " " * (6 + width + 2)
    for check in checks:
        mark = "NO" if not check.ok else "note" if check.hint else "ok"
        first = f"{mark:<4}  {check.what:<{width}}  "
        for line in folded(check.found, screen, first, below):
            say(line)
        if check.hint:
            for line in folded(check.hint, screen, f"{below}-> ", f"{below}   "):
                say(line)
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
    print_rows(("model", "state", "revision", "size", "licence", "where"), rows)
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
    header = ("node", "stage", "parts", "images to do", "time", "MB", "why")
    print_rows(header, rows, first=("node", "images to do", "time", "why"))
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


def print_rows(
    header: tuple[str, ...], rows: list[tuple[object, ...]], first: Sequence[str] = ()
) -> None:
    """A table: whole numbers to the right. `first`: the columns to keep where room is short."""
    import pyarrow as pa

    from pipeline.output.table import show

    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    whole = [bool(rows) and all(isinstance(value, int) for value in one) for one in columns]
    arrays = [
        pa.array(one, pa.int64()) if numbers else pa.array(map(str, one), pa.string())
        for one, numbers in zip(columns, whole, strict=True)
    ]
    show(pa.table(arrays, names=list(header)), sys.stdout, first, count=False)


def lacking_words(graph: "Dag", totals: "list[NodeTotal]") -> str | None:
    """What a run lacks: parts, or rows of which more failed than the DAG allows. None: nothing."""
    for total in totals:
        if total.parts_done < total.parts:
            return (
                f"{total.node}: {total.parts_done} of {total.parts} parts done; why is said above"
            )
        if total.rows_failed > graph.max_failed_share * total.rows_in:
            return (
                f"{total.node}: {total.rows_failed} of {total.rows_in} rows failed "
                f"(allowed share {graph.max_failed_share:g}); see `item query DAG failed_rows`"
            )
    return None
