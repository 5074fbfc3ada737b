"""`item show`: one image, and all that the store knows of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.call import reported, say
from pipeline.cli.options import (
    DEFAULT_STORE,
    JsonOption,
    LimitOption,
    SetOption,
    StoreOption,
    dags_here,
    limited,
)
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.pages.image import Known


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
        from pipeline.dag.graph import load
        from pipeline.pages.find import find
        from pipeline.pages.image import known, page
        from pipeline.query.open_store import connect
        from pipeline.store.outside import check_outside, write_text
        from pipeline.store.parts import Store

        if image is None:
            raise UserError("no image is named", hint="item show DAG IMAGE_ID, or a file's path")
        check_outside(html, store, "--html")
        graph, cache = load(call.dag, limited(overrides, limit)), Store(store)
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
        say(TITLES[name].lower())
        show(table, sys.stdout, count=False)
    if not one.tables["verdicts"].num_rows:
        say("\nno run of this DAG tested it")
