"""`item query` and `item db`: the cache in SQL."""

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.call import Call, reported, say
from pipeline.cli.console import print_queries
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    FormatOption,
    JsonOption,
    LimitOption,
    SetOption,
    StoreOption,
    complete_query,
    is_dag,
)
from pipeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_STDIN = "-"


def query(
    dag: DagArgument = None,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|SQL|-",
            help="A named query, or one SELECT; - reads it from stdin.",
            autocompletion=complete_query,
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="The SQL in this file.")
    ] = None,
    list_queries: Annotated[bool, typer.Option("--list", help="The named queries.")] = False,
    given: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the query."),
    ] = None,
    form: FormatOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the answer to this file: .csv, .json (an array of rows), .md, .parquet, "
            ".txt.",
        ),
    ] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Let the SQL do all that you may: any file, any write.")
    ] = False,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Ask the cache in SQL (DuckDB, read-only): `item query demo by_generator`.

    A view's name alone asks for all its rows: `item query demo runs`.

    `item query by_generator` asks the DAG file of this folder. With --unsafe the SQL may be several
    statements, and attach databases, read and write files. Only the file system then protects the
    store's own. The answer is `answer` among the tables of --json.
    """
    if dag and not text and not is_dag(dag):
        dag, text = None, dag
    needs_dag = not list_queries
    with reported("query", dag, overrides, limit, store, as_json, needs_dag) as call:
        from pipeline.output import formats
        from pipeline.query import questions as room
        from pipeline.store.outside import check_outside

        if list_queries:
            _list(list(room.named_queries().values()), call)
            return
        if as_json and (form or out):
            raise UserError("--json is the answer of the command", hint="leave --format, --out out")
        format = formats.chosen(form, out)
        check_outside(out, store)
        answer = _answer(call, _sql(text, file), given or [], unsafe)
        if as_json:
            call.answer({"answer": answer})
        else:
            formats.deliver(answer, format, out)


def _answer(call: Call, text: str, given: list[str], unsafe: bool) -> "pa.Table":
    """The rows; says what the store lacks, and why there may be none."""
    from pipeline.plan.missing_parts import gaps
    from pipeline.query import questions as room
    from pipeline.query.open_store import connect

    graph, cache = call.opened()
    sql = room.resolve(text, graph.nodes)  # a misspelt name is said before anything is opened
    connection = connect(graph, cache, unsafe=unsafe)
    if found := gaps(graph, cache):
        say(f"warning: {'; '.join(map(str, found))}", err=True)
    answer = room.execute(connection, sql, given, unsafe)
    if not answer.num_rows and (said := room.without_runs(connection, sql)):
        say(f"note: {call.addressed(said)}", err=True)
    if told := room.files_tell(connection, sql):
        say(f"note: {told}", err=True)
    return answer


def _sql(text: str | None, file: Path | None) -> str:
    """The question: as it was typed, from a file, or from what is piped in."""
    if file is not None and text is not None:
        raise UserError("--file gives the SQL, and so does the command", hint="leave one out")
    if file is not None and str(file) != _STDIN:
        try:
            return f"{file.read_text(encoding='utf-8')}\n"
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise UserError(f"the SQL cannot be read: {why}", str(file)) from None
    if text == _STDIN or file is not None or (text is None and _piped()):
        found = sys.stdin.read()
        if not found.strip():
            raise UserError("there is no SQL on stdin", hint="item query demo - < question.sql")
        return f"{found}\n"
    if text is None:
        raise UserError(
            "a query needs a name or SQL",
            hint="item query demo by_generator; item query --list shows the names; -f FILE reads "
            "SQL from a file, - from stdin",
        )
    return text


def _piped() -> bool:
    """Whether somebody sends SQL: stdin is a pipe or a file."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _list(queries: list, call: Call) -> None:
    if not call.as_json:
        print_queries(queries)
        return
    rows = [
        {
            "name": one.name,
            "question": one.question,
            "row": one.row,
            "parameters": [vars(parameter) for parameter in one.parameters.values()],
        }
        for one in queries
    ]
    call.answer({"queries": rows})


def db(
    dag: DagArgument = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write (default: NAME.duckdb, of the DAG).")
    ] = None,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a small DuckDB database of the views, for its shell, notebooks and BI tools.

    It reads the store's parts as they are when it is asked, so it goes on working after the store
    grows; images that the listing no longer names do not count. Write it again when the DAG
    changes, and after the first parts of a node or the first run.
    """
    with reported("db", dag, overrides, limit, store, as_json) as call:
        from pipeline.query.open_store import save
        from pipeline.store.outside import check_outside

        graph, cache = call.opened()
        target = out or Path(f"{graph.name}.duckdb")
        check_outside(target, store)
        save(graph, cache, target)
        if as_json:
            call.answer(path=str(target.absolute()))
        else:
            say(f"{target}: open it read-only, e.g. `duckdb -readonly {target}`")
