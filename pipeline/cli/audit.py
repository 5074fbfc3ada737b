"""`item audit`: does a corpus give its labels away? In brief at the end of run and train, too."""

import os
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import FAILED_ROWS, print_json, reported, say
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    JsonOption,
    LimitOption,
    SetOption,
    StoreOption,
    limited,
)
from pipeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.audit.finding import Finding
    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store

_PAIRS = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
_WIDTH = 80  # columns of what is printed, on whatever


def audit(
    dag: DagArgument,
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
            help="Write the near-duplicates of two splits, generators or labels: .csv, .json or "
            ".parquet.",
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
    with reported(dag, overrides, limit, store) as addressed:
        from pipeline.dag.graph import load
        from pipeline.store.parts import Store

        if pairs:
            _check_pairs(pairs, near)
        graph, cache = load(dag, limited(overrides, limit)), Store(store)
        findings = _audited(graph, cache, near, cosine, pairs)
        if as_json:
            print_json([one.plain() for one in findings])
        else:
            _print(findings, addressed)
            if by_generator:
                _print_generators(findings)
        if strict and any(one.verdict == "leak" for one in findings):
            raise typer.Exit(FAILED_ROWS)


def _check_pairs(pairs: Path, near: bool) -> None:
    """Whether the pairs can be asked for and written, before they are looked for."""
    if not near:
        raise UserError("--pairs names near-duplicates", hint="leave --no-near-duplicates out")
    if pairs.suffix not in _PAIRS:
        raise UserError(
            f"--pairs cannot tell what to write from '{pairs.suffix}'",
            str(pairs),
            f"end the name with one of {', '.join(_PAIRS)}",
        )
    if pairs.is_dir() or not os.access(pairs.parent, os.W_OK):
        raise UserError(
            "the pairs cannot be written",
            str(pairs),
            "give --pairs a file in a folder that exists and can be written",
        )


def _audited(
    graph: "Dag", cache: "Store", near: bool, cosine: float, pairs: Path | None
) -> "list[Finding]":
    """All findings; says what is not computed yet, and writes the pairs if they are asked for."""
    from pipeline.audit.audit import audit as audited
    from pipeline.plan.missing_parts import gaps
    from pipeline.query.answers import deliver
    from pipeline.query.open_store import connect

    read = {graph.nodes[gap.node].stage.output: gap for gap in gaps(graph, cache)}
    if found := [read[table] for table in ("captions", "image_embeddings") if table in read]:
        say(f"warning: {'; '.join(map(str, found))}", err=True)

    def keep(found: "pa.Table") -> None:
        if pairs:
            deliver(found, _PAIRS[pairs.suffix], pairs)

    with connect(graph, cache, runs=False) as connection:
        return audited(connection, graph, near, cosine, partial(say, err=True), keep)


def brief(
    graph: "Dag", cache: "Store", addressed: Callable[[str], str], quiet: bool
) -> list[dict[str, object]]:
    """The findings at the end of a run, printed unless `quiet`: what is no `ok`, and how many are.

    Nothing, where the store has nothing to look at yet.
    """
    import duckdb

    from pipeline.audit import kept
    from pipeline.audit.finding import summary
    from pipeline.query.open_store import connect

    try:
        found = kept.at_hand(graph, cache, lambda: connect(graph, cache, runs=False))
    except (UserError, duckdb.Error) as error:  # another run may replace a part that is read
        why = error.what if isinstance(error, UserError) else str(error)
        say(addressed(f"audit: not made: {why}; `item audit DAG` asks again"), err=True)
        return []  # what was computed and trained stands
    if not quiet:
        for one in found:
            if one.verdict in ("look", "leak"):
                say(f"{one.verdict}: {one.check}: {one.figure}")
        say(
            addressed(f"audit: {summary(found)} (near-duplicates not looked for): `item audit DAG`")
        )
    return [one.plain() for one in found]


def _print(findings: "Sequence[Finding]", addressed: Callable[[str], str]) -> None:
    """A row a check; below it what differs, and behind an arrow what to do.

    What the checks after each other cannot judge for one reason has it once, below the last.
    """
    from pipeline.audit.finding import VERDICTS, summary

    widths = max(map(len, VERDICTS)), max(len(one.check) for one in findings)
    _row(widths, "verdict", "check", "figure")
    _row(widths, *("-" * width for width in (*widths, _WIDTH - sum(widths) - 4)))
    below = " " * (widths[0] + 2)
    after = [*findings[1:], None]
    for one, later in zip(findings, after, strict=True):
        _row(widths, one.verdict, one.check, one.figure)
        if later and "not judged" == one.verdict == later.verdict and one.advice == later.advice:
            continue
        if one.seen:
            say(_folded(one.seen, f"{below}  "))
        if one.advice:
            say(_folded(addressed(one.advice), f"{below}-> ", f"{below}   "))
    say(summary(findings))


def _row(widths: tuple[int, int], verdict: str, check: str, figure: str) -> None:
    first = f"{verdict:<{widths[0]}}  {check:<{widths[1]}}  "
    say(_folded(figure, first, " " * len(first)))


def _folded(text: str, first: str, later: str | None = None) -> str:
    """Text in lines of `_WIDTH`; a number stays with its sign."""
    joined = textwrap.fill(
        text.replace(" %", "\u00a0%"),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=first if later is None else later,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return joined.replace("\u00a0%", " %")


def _print_generators(findings: "Sequence[Finding]") -> None:
    """How well each check tells the label of each generator's images, as AUROC."""
    import pyarrow as pa

    from pipeline.query.answers import deliver

    rows: dict[str, dict[str, object]] = {}
    for one in findings:
        for row in one.details:
            if "auroc" in row:
                name = str(row["generator"] or "all")
                rows.setdefault(name, {"generator": name})[one.check] = row["auroc"]
    say()
    deliver(pa.Table.from_pylist(list(rows.values())), "table")
