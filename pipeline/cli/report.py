"""`item report`: what a store holds of a DAG, as a page; the end of `item run` writes it, too."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.call import Call, reported, say
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    JsonOption,
    LimitOption,
    SetOption,
    StoreOption,
    limited,
)
from pipeline.errors import UserError, nearest

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store


def report(
    dag: DagArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Where to (default: STORE/reports/DAG.html)."),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Show this experiment alone (default: all)."),
    ] = None,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write what the store holds of a DAG as one HTML file, which needs nothing beside it.

    What was computed and failed, the audit, tables and curves of every experiment, distributions,
    and a gallery. Nothing is computed anew, no image leaves this machine; the file can be mailed.
    """
    with reported("report", dag, overrides, limit, store, as_json) as call:
        from pipeline.dag.graph import load
        from pipeline.store.outside import check_outside
        from pipeline.store.parts import Store

        graph, cache = load(call.dag, limited(overrides, limit)), Store(store)
        names = list(graph.experiments)
        if experiment is not None and experiment not in names:
            hint = nearest(experiment, names)
            raise UserError(f"there is no experiment '{experiment}'", str(graph.path), hint)
        check_outside(out, store)
        started = time.monotonic()
        path = write(graph, cache, out, [experiment] if experiment else names)
        seconds, size = time.monotonic() - started, path.stat().st_size
        if as_json:
            call.answer(path=str(path), bytes=size, seconds=seconds)
        else:
            say(f"{path}: {size / 1e6:.1f} MB in {seconds:.1f} s")


def write(
    graph: "Dag", cache: "Store", out: Path | None, names: Sequence[str], anew: bool = True
) -> Path:
    """Writes the report and returns where it lies.

    Unless `anew`, one that lies in the store and was made of the same parts and runs stays.
    """
    from pipeline.audit import kept
    from pipeline.pages.report import report as page
    from pipeline.query.open_store import connect
    from pipeline.store.outside import write_text

    state = kept.state(graph, cache, runs=True)
    if not anew and cache.report_is(graph.name, state):
        return cache.report(graph.name)
    findings = kept.at_hand(graph, cache, lambda: connect(graph, cache, runs=False))
    with connect(graph, cache) as connection:
        text = page(connection, graph, cache, findings, names, state)
    if out is None:
        return cache.write_report(graph.name, text)
    write_text(out, text)
    return out


def at_the_end(graph: "Dag", cache: "Store", call: Call, quiet: bool) -> str | None:
    """The report at the end of a run; says where it lies, unless `quiet`. None: none was made."""
    import duckdb

    try:
        path = write(graph, cache, None, list(graph.experiments), anew=False)
    except (UserError, duckdb.Error) as error:  # another run may replace a part that is read
        why = error.what if isinstance(error, UserError) else str(error)
        say(call.addressed(f"report: not made: {why}; `item report DAG` tries again"), err=True)
        return None  # what was computed and trained stands
    if not quiet:
        say(f"report: {path}")
    return str(path)
