"""`item query` and `item db`: the cache in SQL."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import print_queries, reported, say
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    LimitOption,
    SetOption,
    StoreOption,
    limited,
)
from pipeline.errors import UserError


def query(
    dag: Annotated[
        str | None, typer.Argument(help="Path of a DAG file, or a shipped name.")
    ] = None,
    text: Annotated[
        str | None, typer.Argument(metavar="NAME|SQL", help="A named query, or one SELECT.")
    ] = None,
    list_queries: Annotated[bool, typer.Option("--list", help="The named queries.")] = False,
    given: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the query."),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="table|csv|json|parquet", help="Of the answer.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write the answer to this file.")] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Let the SQL do all that you may: any file, any write.")
    ] = False,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Ask the cache in SQL (DuckDB, read-only): `item query demo by_generator`.

    With --unsafe the SQL may be several statements, and attach databases, read and write files.
    Only the file system then protects the store's own.
    """
    with reported(dag, overrides, limit, store):
        from pipeline.dag.graph import load
        from pipeline.plan.missing_parts import gaps
        from pipeline.query import questions as room
        from pipeline.query.open_store import connect
        from pipeline.store.parts import Store

        if list_queries:
            print_queries(list(room.named_queries().values()))
            return
        if dag is None or text is None:
            raise UserError(
                "a query needs a DAG and a name or SQL",
                hint="item query demo by_generator; item query --list shows the names",
            )
        sql = room.resolve(text)  # a misspelt name is said before anything is opened
        graph, cache = load(dag, limited(overrides, limit)), Store(store)
        connection = connect(graph, cache, unsafe=unsafe)
        if found := gaps(graph, cache):
            say(f"warning: {'; '.join(map(str, found))}", err=True)
        answer = room.execute(connection, sql, given or [], unsafe)
        if not answer.num_rows and (said := room.without_runs(connection, sql)):
            say(f"note: {said}", err=True)
        room.deliver(answer, form, out)


def db(
    dag: DagArgument,
    out: Annotated[
        Path | None, typer.Option(help="The file to write (default: NAME.duckdb, of the DAG).")
    ] = None,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a small DuckDB database of the views, for its shell, notebooks and BI tools.

    It reads the store's parts as they are when it is asked, so it goes on working after the store
    grows; images that the listing no longer names do not count. Write it again when the DAG
    changes, and after the first parts of a node or the first run.
    """
    with reported(dag, overrides, limit, store):
        from pipeline.dag.graph import load
        from pipeline.query.open_store import save
        from pipeline.store.parts import Store

        graph = load(dag, limited(overrides, limit))
        target = out or Path(f"{graph.name}.duckdb")
        save(graph, Store(store), target)
        say(f"{target}: open it read-only, e.g. `duckdb -readonly {target}`")
