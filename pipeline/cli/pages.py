"""`item report` and `item show`: a DAG, or one image, as a page. `item run` ends with a report."""

import sys
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
    complete_experiment,
    dags_here,
)
from pipeline.errors import UserError, nearest

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag
    from pipeline.pages.image import Known
    from pipeline.store.parts import Store


def report(
    dag: DagArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Where to (default: STORE/reports/DAG.html)."),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Show this experiment alone (default: all).",
            autocompletion=complete_experiment,
        ),
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
        from pipeline.store.outside import check_outside

        graph, cache = call.opened()
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

    from pipeline.query.damaged import why_not

    try:
        path = write(graph, cache, None, list(graph.experiments), anew=False)
    except (UserError, duckdb.Error) as error:  # another run may replace a part that is read
        what, then = why_not(error, "`item report DAG` tries again")
        say(call.addressed(f"report: not made: {what}; {then}"), err=True)
        return None  # what was computed and trained stands
    if not quiet:
        say(f"report: {path}")
    return str(path)


def show(
    dag: Annotated[
        str | None,
        typer.Argument(help="Path of a DAG file, or a shipped name. Default: as in `run`."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Argument(
            metavar="IMAGE_ID|PATH",
            help="An image_id, its first digits, or a file's path (or the end of it).",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page, with the picture and boxes."),
    ] = None,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show one image: its files and labels, caption, objects, cosines, neighbours and verdicts.

    Its cosines are shown beside those of all reals and fakes, its nearest neighbours in D and in
    CLIP, its variants, and what every run says of it.
    """
    if dag and not image and dags_here():
        dag, image = None, dag  # `item show IMAGE`, of the DAG in this folder
    with reported("show", dag, overrides, limit, store, as_json) as call:
        from pipeline.pages.find import find
        from pipeline.pages.image import known, page
        from pipeline.query.open_store import connect
        from pipeline.store.outside import check_outside, write_text

        if image is None:
            raise UserError("no image is named", hint="item show DAG IMAGE_ID, or a file's path")
        check_outside(html, store, "--html")
        graph, cache = call.opened()
        with connect(graph, cache) as connection:
            one = known(connection, find(connection, graph, image))
            if html is not None:
                write_text(html, page(connection, graph, one), "--html")
        if as_json:
            call.answer(one.tables, html=html and str(html), **one.about)
        elif html is not None:
            say(f"{html}: {html.stat().st_size / 1e3:.0f} kB")
        else:
            _print(one)


def _print(one: "Known") -> None:
    """The single values a line each, then the tables."""
    from pipeline.output.table import folded, show, width_of
    from pipeline.output.values import cell
    from pipeline.pages.image import TITLES, shown

    screen = width_of(sys.stdout)
    for name, value in one.about.items():
        if value is not None:
            for line in folded(cell(value), screen, f"{name:<9} ", " " * 10):
                say(line)
    for name, table in shown(one):
        say()
        say(TITLES[name])
        show(table, sys.stdout, count=False)
    if not one.tables["verdicts"].num_rows:
        say("\nno run of this DAG has it among its test images")
