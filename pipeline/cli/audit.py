"""`item audit`: does a corpus give its labels away? In brief at the end of run and train, too."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.call import FAILED_ROWS, Call, reported, say
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    JsonOption,
    LimitOption,
    SetOption,
    StoreOption,
)
from pipeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.audit.finding import Finding
    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store


def audit(
    dag: DagArgument = None,
    near: Annotated[
        bool,
        typer.Option(
            "--near-duplicates/--no-near-duplicates",
            help="Compare image embeddings over splits, generators, labels and experiments.",
        ),
    ] = True,
    cosine: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="From here on two embeddings are alike.")
    ] = 0.99,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the near-duplicates of two splits, generators or labels: .csv, .parquet, "
            ".json, .md or .txt.",
        ),
    ] = None,
    by_generator: Annotated[
        bool, typer.Option("--by-generator", help="How well each generator's label is told.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 when anything is a leak.")
    ] = False,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Does the corpus give its labels away, and do train and test have anything in common?

    Is the label predictable without the picture: from format, size, bytes, JPEG quality and tables,
    mode, EXIF, file name or the caption's words? Are there copies and near-duplicates across
    splits? Each check has a figure, a verdict (ok, look, leak) and what to do. Nothing is changed,
    and no image is opened.
    """
    with reported("audit", dag, overrides, limit, store, as_json) as call:
        from pipeline.output.formats import chosen
        from pipeline.store.outside import check_outside

        if pairs and not near:
            raise UserError("--pairs names near-duplicates", hint="leave --no-near-duplicates out")
        if pairs and (pairs.is_dir() or not os.access(pairs.parent, os.W_OK)):
            raise UserError(
                "the pairs cannot be written",
                str(pairs),
                "give --pairs a file in a folder that exists and can be written",
            )
        chosen(None, pairs)  # a wrong suffix is said before anything is looked at
        check_outside(pairs, store, "--pairs")
        graph, cache = call.opened()
        findings = _audited(graph, cache, near, cosine, pairs)
        code = FAILED_ROWS if strict and any(one.verdict == "leak" for one in findings) else 0
        if as_json:
            call.answer({"audit": [one.plain() for one in findings]}, code)
        else:
            _print(findings, call)
            if by_generator:
                _print_generators(findings)
        if code:
            raise typer.Exit(code)


def _audited(
    graph: "Dag", cache: "Store", near: bool, cosine: float, pairs: Path | None
) -> "list[Finding]":
    """All findings; says what is not computed yet, and writes the pairs if they are asked for."""
    from pipeline.audit.audit import audit as audited
    from pipeline.output.formats import chosen, deliver
    from pipeline.plan.missing_parts import gaps
    from pipeline.query.open_store import connect

    read = {graph.nodes[gap.node].stage.output: gap for gap in gaps(graph, cache)}
    if found := [read[table] for table in ("captions", "image_embeddings") if table in read]:
        say(f"warning: {'; '.join(map(str, found))}", err=True)

    def keep(found: "pa.Table") -> None:
        if pairs:
            deliver(found, chosen(None, pairs), pairs)

    with connect(graph, cache, runs=False) as connection:
        return audited(connection, graph, near, cosine, partial(say, err=True), keep)


def brief(graph: "Dag", cache: "Store", call: Call, quiet: bool) -> list[dict[str, object]]:
    """The findings at the end of a run, printed unless `quiet`: what is no `ok`, and how many are.

    Nothing, where the store has nothing to look at yet.
    """
    import duckdb

    from pipeline.audit import kept
    from pipeline.audit.finding import summary
    from pipeline.query.damaged import why_not
    from pipeline.query.open_store import connect

    try:
        found = kept.at_hand(graph, cache, lambda: connect(graph, cache, runs=False))
    except (UserError, duckdb.Error) as error:  # another run may replace a part that is read
        what, then = why_not(error, "`item audit DAG` asks again")
        say(call.addressed(f"audit: not made: {what}; {then}"), err=True)
        return []  # what was computed and trained stands
    if not quiet:
        for one in found:
            if one.verdict in ("look", "leak"):
                say(f"{one.verdict}: {one.check}: {one.figure}")
        said = f"audit: {summary(found)} (near-duplicates not looked for): `item audit DAG`"
        say(call.addressed(said))
    return [one.plain() for one in found]


def _notes(findings: "Sequence[Finding]") -> list[tuple[str, str]]:
    """What each check has seen, and its advice.

    What the checks after each other cannot judge for one reason has it once, below the last.
    """
    found = []
    for one, later in zip(findings, [*findings[1:], None], strict=True):
        alike = later and "not judged" == one.verdict == later.verdict
        same = alike and one.advice == later.advice
        found.append(("", "") if same else (one.seen, one.advice))
    return found


def _print(findings: "Sequence[Finding]", call: Call) -> None:
    """A row a check; below it what differs, and behind an arrow what to do."""
    from pipeline.audit.finding import VERDICTS, summary
    from pipeline.output.table import folded, width_of

    screen = width_of(sys.stdout)
    widths = max(map(len, VERDICTS)), max(len(one.check) for one in findings)
    start, below = " " * (sum(widths) + 4), " " * (widths[0] + 2)
    rows = [("verdict", "check", "figure"), ("-" * widths[0], "-" * widths[1], "-" * 6)]
    rows += [(one.verdict, one.check, one.figure) for one in findings]
    notes = [("", ""), ("", ""), *_notes(findings)]
    for (verdict, check, figure), (seen, advice) in zip(rows, notes, strict=True):
        first = f"{verdict:<{widths[0]}}  {check:<{widths[1]}}  "
        lines = folded(figure, screen, first, start)
        if seen:
            lines += folded(seen, screen, f"{below}  ", f"{below}  ")
        if advice:
            lines += folded(call.addressed(advice), screen, f"{below}-> ", f"{below}   ")
        for line in lines:
            say(line)
    say(summary(findings))


def _print_generators(findings: "Sequence[Finding]") -> None:
    """How well each check tells the label of each generator's images, as AUROC."""
    import pyarrow as pa

    from pipeline.output.formats import deliver

    rows: dict[str, dict[str, object]] = {}
    for one in findings:
        for row in one.details:
            if "auroc" in row:
                name = str(row["generator"] or "all")
                rows.setdefault(name, {"generator": name})[one.check] = row["auroc"]
    say()
    deliver(pa.Table.from_pylist(list(rows.values())), "table")
