"""Questions to the store: the named queries, the user's own SQL, and its confinement to reading."""

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError, nearest
from pipeline.query.damaged import damaged
from pipeline.query.part_sql import identifier
from pipeline.query.query_parameters import Parameter, Value, bind, declared
from pipeline.query.views import GENERATED, connect, extra_views, macros, undecided
from pipeline.shipped import folder

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = [
    "NamedQuery",
    "ask",
    "connect",
    "execute",
    "files_tell",
    "named_queries",
    "resolve",
    "without_runs",
]


# What may stand before an explained statement. No comments: where one ends for DuckDB and where it
# ends for a pattern could differ, and hide the statement that is run.
_EXPLAIN = re.compile(
    r"\s*explain\s+(?:analyze\s+)?(?:\(\s*(?:analyze|format)\b[\w\s,]*\)\s*)?(.*)", re.I | re.S
)
_DISCARDED = 100_000  # rows at a time


@dataclass(frozen=True)
class NamedQuery:
    """A file of `sql/queries`: the question it answers and what a row of the answer is."""

    name: str
    question: str
    row: str
    sql: str
    path: Path
    parameters: dict[str, Parameter]


def named_queries() -> dict[str, NamedQuery]:
    """The shipped queries by name. A file's first comment line is its question, the second a row.

    Raises ValueError for a file without these two lines.
    """
    queries = {}
    for path in sorted((folder("sql") / "queries").glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        first, second, *_ = [*sql.splitlines(), "", ""]
        if not (first.startswith("-- ") and second.startswith("-- ")):
            raise ValueError(f"{path}: its first two lines must say the question and what a row is")
        question, row = first[3:].strip(), second[3:].strip()
        queries[path.stem] = NamedQuery(path.stem, question, row, sql, path, declared(sql))
    return queries


def resolve(text: str, nodes: Iterable[str] = ()) -> str:
    """The SQL of a named query, or of all rows of a view, or `text` itself.

    `nodes`: those of the DAG, which are views as well. UserError for any other single word.
    """
    from pipeline.tables import COLUMNS

    word = text.strip()
    queries, views = named_queries(), {*COLUMNS, *GENERATED, *extra_views(), *nodes}
    if word in queries:
        return queries[word].sql
    if word in views:
        return f"from {identifier(word)}"
    if re.fullmatch(r"[\w.-]*", word):
        raise UserError(
            f"there is no query or view '{word}'",
            hint=f"{nearest(word, {*queries, *views})} `item query --list` shows all queries; or "
            "write SQL in quotes",
        )
    return text


def execute(
    connection: "duckdb.DuckDBPyConnection",
    sql: str,
    given: Iterable[str] = (),
    unsafe: bool = False,
) -> "pa.Table":
    """The rows of one `select` (or `describe`, `show`, `explain`) as an Arrow table.

    `given`: `NAME=VALUE` for parameters that the SQL declares (see
    `pipeline.query.query_parameters`); the others have their defaults. `unsafe`: of a connection
    that is not confined, any statements of any kind, one after the other; the rows are the last
    one's. Raises UserError with DuckDB's own message (and the place in the SQL) for a query that is
    wrong, reaches outside the store, or would change anything.
    """
    import duckdb
    import pyarrow as pa

    values = bind(declared(sql), given)
    try:
        data = _interruptible(connection, partial(_answer, connection, sql, values, unsafe))
    except (duckdb.Error, pa.ArrowException) as error:
        if (fault := damaged(error)) is not None:
            raise fault from error
        raise UserError(str(error).strip(), hint=_hint(connection, sql, str(error))) from error
    for number, field in enumerate(data.schema):  # DuckDB's sums of integers have 128 bits
        if pa.types.is_decimal(field.type) and field.type.scale == 0:
            data = _narrowed(data, number, field.name)
    return data


def ask(connection: "duckdb.DuckDBPyConnection", name: str, **parameters: Value) -> "pa.Table":
    """The rows of a named query. None stands for null. Raises UserError as `execute` does."""
    given = [f"{key}={'null' if one is None else one}" for key, one in parameters.items()]
    return execute(connection, named_queries()[name].sql, given)


_OF_RUNS = re.compile(r"\b(runs|predictions|curves|differences|chosen_method)\b")


def files_tell(connection: "duckdb.DuckDBPyConnection", sql: str) -> str | None:
    """A warning where a question is about runs of which files alone tell reals from fakes."""
    if not _OF_RUNS.search(sql):
        return None
    found = connection.execute(
        "select experiment, max(files_tell), min(files_tell) from files_tell() semi join "
        "(from runs where current) as own using (experiment, run_id) group by all order by all"
    ).fetchall()
    shown = [f"{high if high - 0.5 > 0.5 - low else low:.3f} ({name})" for name, high, low in found]
    if not shown:
        return None
    turned = " (below 0.5: the other way round than was learned, so it misleads)"
    return (
        f"files tell: `metadata` alone (size, shape, format) has an AUROC of {', '.join(shown)}; "
        "other methods may have learned no more than that"
        + (turned if any(low < 0.5 for *_, low in found) else "")
    )


def without_runs(connection: "duckdb.DuckDBPyConnection", sql: str) -> str | None:
    """Why a question about trained runs has no answer, when the DAG has none of its own."""
    if not _OF_RUNS.search(sql):
        return None
    counts = "select count(distinct (experiment, run_id)), coalesce(bool_or(current), false)"
    ((total, own),) = connection.execute(f"{counts} from runs").fetchall()
    if own:
        return None
    others = "run" if total == 1 else "runs"
    return "the store has no run of this DAG as it is now: `item train DAG`" + (
        f"; there are {total:,} {others} of other DAGs, or of other states of this one: "
        "`--param run=ID` where a query asks about one, `--param dags=all` where about many"
        if total
        else ""
    )


def _interruptible(
    connection: "duckdb.DuckDBPyConnection", answer: Callable[[], "pa.Table"]
) -> "pa.Table":
    """`answer()`, which Ctrl-C ends: DuckDB does not see it once it has parsed statements."""
    with ThreadPoolExecutor(1, thread_name_prefix="query") as pool:
        asked = pool.submit(answer)
        try:
            return asked.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _answer(
    connection: "duckdb.DuckDBPyConnection", sql: str, values: dict[str, Value], unsafe: bool
) -> "pa.Table":
    if unsafe:
        sql, values = _all_but_last(connection, sql, values)
    explained = _check_statement(connection, sql, unsafe)
    _check_names(set(connection.extract_statements(sql)[0].named_parameters), set(values))
    return (_explanation if explained else _rows)(connection, sql, values)


def _all_but_last(
    connection: "duckdb.DuckDBPyConnection", sql: str, values: dict[str, Value]
) -> tuple[str, dict[str, Value]]:
    """Executes all statements but the last, each with the parameters that it uses.

    Returns the last one, and the values that it uses.
    """
    statements = connection.extract_statements(sql)
    if not statements:
        return sql, values
    *before, last = statements
    used = [set(statement.named_parameters) for statement in (*before, last)]
    _check_names(set().union(*used), set(values))
    for statement, names in zip(before, used[:-1], strict=True):
        own = {name: values[name] for name in names}
        result = connection.execute(statement.query, own or None)
        while result.fetchmany(_DISCARDED):  # an answer that is not read to its end is in the way
            pass
    return last.query, {name: values[name] for name in used[-1]}


def _rows(
    connection: "duckdb.DuckDBPyConnection", sql: str, values: dict[str, Value]
) -> "pa.Table":
    import duckdb

    try:
        return connection.sql(sql, params=values or None).to_arrow_table()
    except (duckdb.BinderException, duckdb.CatalogException):
        connection.execute(
            sql, values
        )  # fails too, before it reads anything, and says where in the SQL
        raise


def _explanation(
    connection: "duckdb.DuckDBPyConnection", sql: str, values: dict[str, Value]
) -> "pa.Table":
    import pyarrow as pa

    result = connection.execute(sql, values)
    names = [column[0] for column in result.description]
    rows = result.fetchall()
    if not re.search(r"\bformat\b", sql.partition("select")[0], re.I):  # a drawing, of many lines
        rows = [(*row[:-1], line) for row in rows for line in str(row[-1]).splitlines()]
    return pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))


def _narrowed(data: "pa.Table", number: int, name: str) -> "pa.Table":
    import pyarrow as pa

    try:
        return data.set_column(number, name, data.column(number).cast(pa.int64()))
    except pa.ArrowInvalid:  # it really needs more than 64 bits
        return data


def _check_statement(
    connection: "duckdb.DuckDBPyConnection", sql: str, unsafe: bool = False
) -> bool:
    """Exactly one statement, and, unless `unsafe`, one that reads; true for `explain` of one.

    What is not known to read is refused: `explain analyze` runs what it explains.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        count = "no statement" if not statements else f"{len(statements)} statements"
        raise UserError(f"a query is one SQL statement, and this is {count}")
    kind = statements[0].type.name
    explained = _EXPLAIN.match(sql)
    if kind == "EXPLAIN" and explained:
        _check_statement(connection, explained[1], unsafe)
        return True
    if kind != "SELECT" and not unsafe:
        raise UserError(
            f"queries only read the store: a statement of the kind {kind} is not allowed",
            hint="write one `select` (`pivot` needs its values listed: `on … in (…)`); "
            "`item query --unsafe` allows everything",
        )
    return False


def _check_names(used: set[str], known: set[str]) -> None:
    """What the SQL uses must be what its header declares; DuckDB's own message names neither."""
    for name in sorted(used ^ known):
        if name in known:
            raise UserError(
                f"the parameter '{name}' is declared, and the query does not use it",
                hint=f"write ${name} where it belongs",
            )
        raise UserError(
            f"the parameter '{name}' is not declared",
            hint=f"begin the query with a line such as `-- param {name} text null: what it does`",
        )


def _hint(connection: "duckdb.DuckDBPyConnection", sql: str, message: str) -> str | None:
    if message.startswith("Permission Error"):
        return (
            "a query can read the store's parts through its views, and nothing else; "
            "`item query --unsafe` lets it open and write files"
        )
    column = re.search(r'Referenced column "([^"]+)" not found', message)
    if column and f'"{column[1]}"' in sql:
        return f"\"…\" is a column's name; text goes between single quotes: '{column[1]}'"
    missing = re.match(
        r'Catalog Error: Table (?:Function )?with name "?([\w.]+)"? does not exist', message
    )
    if not missing:
        return None
    word = missing[1].rpartition(".")[2]
    open_choices = undecided(connection)
    if word in open_choices or (open_choices and word in {*extra_views(), *macros()}):
        return "; ".join(
            f"several nodes make {table} ({', '.join(nodes)}): query the one you mean, "
            f"or call one of them '{table}' in the DAG"
            for table, nodes in open_choices.items()
        )
    rows = connection.execute("select view_name from duckdb_views() where not internal")
    return nearest(word, {name for (name,) in rows.fetchall()})
