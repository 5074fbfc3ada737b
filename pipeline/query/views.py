"""The SQL catalogue of a store: one relation per node, and the views of `sql/views`.

What a connection holds (all read-only):
- `store.<node>`: the rows of every node as they lie in its parts, and `store.<table>` for the node
  on which that table's canonical view sits;
- a view per node, and one per table: `captions` is the node called `captions` or, when no node is
  called so, the only one that makes captions;
- `nodes`, `parts` and `receipts` (a row a part: its file, and how it was made) and `failures` (a
  row a failed row), over all nodes; `store.asked_dag`, the name of the DAG, and, where parts have
  rows that do not count, `store.asked_images`: the ids of those that do;
- `store.runs`, `store.differences`, `store.predictions`, `store.curves`: metrics, their
  differences from other methods', predictions and learning curves of the store's trained runs;
- every further file of `sql/views`, in the order of their names;
- the macros of `sql/macros`, which several queries share, in the order of their names.

A view file is plain SQL with two slots: `{{ node }}`, the node it reads, and `{{ width }}`, the
width of its vectors. A macro file is a `create macro`.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pipeline.errors import UserError
from pipeline.query.damaged import MEND, damaged
from pipeline.query.part_sql import (
    ALL_ROWS,
    ASKED,
    RUN_FILES,
    Counted,
    Identity,
    Tables,
    file_list,
    first_part,
    generated,
    identifier,
    literal,
    no_rows,
    part_rows,
    run_files,
    run_rows,
)
from pipeline.shipped import folder

if TYPE_CHECKING:
    import duckdb

# of a database of views: the oldest DuckDB that reads float16 in Parquet opens it
_STORAGE = {"storage_compatibility_version": "v1.3.0"}
GENERATED = ("nodes", "parts", "receipts", "failures")
_IN_STORE = ("asked_dag", ASKED)  # beside the nodes


def connect(
    tables: Tables,
    runs: Sequence[Path] = (),
    unsafe: bool = False,
    counted: Mapping[str, Counted] | None = None,
    identity: Identity | None = None,
    asked: str | None = None,
) -> "duckdb.DuckDBPyConnection":
    """A confined in-memory connection over `tables`: node name -> (table name, part files).

    `counted`: node -> which of its rows count, in SQL over the relations of the nodes before it.
    `asked`: the image ids that these may need, as SQL over the listing; read once.
    `identity`: of the DAG, by which its own runs are told from others. `runs`: the folders of
    trained runs, `…/<experiment>/<run id>`. A node without parts is an empty relation of its
    table's columns, and so are `runs` and `predictions` without runs. After set-up no setting can
    be changed, and no file can be opened but these parts and the runs' tables; unless `unsafe`,
    which leaves the connection all that DuckDB, and the user, may do. Raises UserError for a file
    that is not readable Parquet, and for a node whose name belongs to a view of another kind.
    """
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("set parquet_metadata_cache = true")  # a part never changes
    connection.execute("set enable_progress_bar = false")  # it would stand among the answers
    given = f"table store.{ASKED} as {asked}" if asked else None
    _fill(connection, tables, runs, counted or {}, identity or Identity(), given)
    if unsafe:
        return connection
    files = [part for _, parts in tables.values() for part in parts]
    _confine(connection, [*files, *(path for name in RUN_FILES for path in run_files(name, runs))])
    return connection


def save(
    tables: Tables,
    runs: str,
    out: Path,
    counted: Mapping[str, Counted],
    identity: Identity,
    asked: str,
) -> None:
    """Writes the same views as a DuckDB database, complete or not at all; holds no rows.

    `tables` has Growing parts, `counted`, `identity` and `asked` are as in `connect`, `runs` is the
    glob of the runs' folders. What has no file yet is an empty relation for good. Who opens the
    database is not confined to the store. Raises UserError as `connect` does, and when `out` cannot
    be written.
    """
    import duckdb

    if out.stem.lower() == "store":
        raise UserError(
            "DuckDB calls a database by its file's name, and 'store' is a schema in this one",
            str(out),
            "give --out another name",
        )
    try:
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=out.absolute().parent) as scratch:
            unfinished = Path(scratch) / out.name  # DuckDB calls a database by its file's name
            with duckdb.connect(unfinished, config=_STORAGE) as connection:
                given = f"view store.{ASKED} as {asked}"
                _fill(connection, tables, runs, counted, identity, given)
            unfinished.replace(out)
    except OSError as error:
        raise UserError(
            f"the catalogue cannot be written: {error.strerror or error}",
            str(out),
            "give --out a path in a folder that exists and can be written",
        ) from error


def _fill(
    connection: "duckdb.DuckDBPyConnection",
    tables: Tables,
    runs: Sequence[Path] | str,
    counted: Mapping[str, Counted],
    identity: Identity,
    asked: str | None,
) -> None:
    import duckdb

    from pipeline.tables import COLUMNS

    views = {path.stem: path.read_text("utf-8") for path in _view_files()}
    views |= {table: _plugged(table) for table in _tables(tables) if table not in views}
    _check_names(tables, set(COLUMNS), {*views, *GENERATED, *_IN_STORE} - set(COLUMNS))
    widths = _widths(tables)
    canonical = canonical_nodes(tables)
    several = {t for t, node in canonical.items() if not node and t in dict(tables.values())}
    try:
        connection.execute("create schema store")
        for node, (table, parts) in tables.items():
            source = part_rows(parts, counted.get(node, ALL_ROWS)) if parts else no_rows(table)
            connection.execute(f"create view store.{identifier(node)} as {source}")
            if table == "listing" and asked:
                connection.execute(f"create {asked}")
        for table, node in canonical.items():
            if table not in tables and table not in several:
                source = f"from store.{identifier(node)}" if node else no_rows(table)
                connection.execute(f"create view store.{identifier(table)} as {source}")
        for name, sql in generated(tables, set(canonical.values()), counted, identity).items():
            connection.execute(f"create view {name} as {sql}")
        asked = f"select {literal(identity.dag)} as name"
        connection.execute(f"create view store.asked_dag as {asked}")
        for name in RUN_FILES:
            connection.execute(f"create view store.{name} as {run_rows(name, runs)}")
        for table in _tables(tables):
            if table not in several:
                _view(connection, table, views[table], table, widths.get(canonical[table]))
        for node, (table, _) in tables.items():
            if node != table:
                _view(connection, node, views[table], node, widths[node])
        # what reads a table that several nodes make cannot be: `undecided` tells why
        undecidable = [duckdb.CatalogException] if several else []
        for name in extra_views():
            with suppress(*undecidable):
                _view(connection, name, views[name])
        for name in macros():
            with suppress(*undecidable):
                connection.execute((folder("sql") / "macros" / f"{name}.sql").read_text("utf-8"))
    except duckdb.Error as error:
        raise damaged(error) or UserError(
            f"the store cannot be read: {str(error).strip()}",
            hint="if a run's file is damaged, delete the run's folder: `item train DAG` trains it "
            f"again; if a part is, {MEND}",
        ) from error


def _plugged(table: str) -> str:
    """The view of a plugin's table: its rows as they are, and of its objects those that are."""
    from pipeline.tables import COLUMNS, EMBEDDING

    as_float = "{name}::float[{{{{ width }}}}] as {name}"
    columns = [
        as_float.format(name=identifier(name)) if kind == EMBEDDING else identifier(name)
        for name, kind in COLUMNS[table].items()
    ]
    objects = " where object_no is not null" if "object_no" in COLUMNS[table] else ""
    return f"select {', '.join(columns)} from store.{{{{ node }}}}{objects}"


def extra_views() -> list[str]:
    """The views beyond one a table, in the order of their names."""
    from pipeline.tables import COLUMNS

    return [path.stem for path in _view_files() if path.stem not in COLUMNS]


def macros() -> list[str]:
    """The macros, in the order of their names: one may use those before it."""
    return sorted(path.stem for path in (folder("sql") / "macros").glob("*.sql"))


def undecided(connection: "duckdb.DuckDBPyConnection") -> dict[str, list[str]]:
    """Tables without a view because several nodes make them, none of that name: table -> nodes."""
    rows = connection.execute(
        "select table_name, list(node order by position) from nodes group by table_name "
        "having count(*) > 1 and not bool_or(node = table_name) order by table_name"
    )
    return dict(rows.fetchall())


def _view_files() -> list[Path]:
    return sorted((folder("sql") / "views").glob("*.sql"))


def _check_names(tables: Tables, kinds: set[str], reserved: set[str]) -> None:
    for node, (table, _) in tables.items():
        if node in reserved or (node in kinds and node != table):
            raise UserError(
                f"the node '{node}' (a table of {table}) has the name of another SQL view",
                where=f"nodes.{node}",
                hint="rename the node; its cache stays, since names are not in fingerprints",
            )


def _tables(made: Tables) -> list[str]:
    """All tables of item's own, and those of plugins that a node makes."""
    from pipeline.tables import COLUMNS, OWN

    by_nodes = {table for table, _ in made.values()}
    return [table for table in COLUMNS if table in OWN or table in by_nodes]


def canonical_nodes(tables: Tables) -> dict[str, str | None]:
    """The node on which each table's view sits; None where no node, or no single one, makes it."""
    chosen: dict[str, str | None] = {}
    for table in _tables(tables):
        makers = [node for node, (kind, _) in tables.items() if kind == table]
        single = makers[0] if len(makers) == 1 else None
        chosen[table] = table if table in makers else single
    return chosen


def _widths(tables: Tables) -> dict[str | None, int]:
    """The vector width of each node, from its first part; a node without parts borrows one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.tables import COLUMNS, EMBEDDING

    known: dict[str | None, int] = {}
    for node, (table, parts) in tables.items():
        column = next((name for name, kind in COLUMNS[table].items() if kind == EMBEDDING), None)
        if column and parts:
            try:
                known[node] = pq.read_schema(first_part(parts)).field(column).type.list_size
            except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
                raise UserError(
                    f"the part is not Parquet with a vector column '{column}': {error}",
                    where=str(first_part(parts)),
                    hint=MEND,
                ) from error
    borrowed = next(iter(known.values()), 1)
    return {None: borrowed} | {node: known.get(node, borrowed) for node in tables}


def _view(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    sql: str,
    node: str = "",
    width: int | None = None,
) -> None:
    filled = sql.replace("{{ node }}", identifier(node)).replace("{{ width }}", str(width))
    connection.execute(f"create view {identifier(name)} as {filled}")


def _confine(connection: "duckdb.DuckDBPyConnection", parts: list[Path]) -> None:
    """After this no statement opens a file but the parts, loads an extension, or undoes it.

    DuckDB lets queries into its temporary directory, so that is a new one of our own.
    """
    scratch = Path(tempfile.gettempdir()) / f"item-query-{uuid4().hex}"
    for setting in (
        f"temp_directory = {literal(str(scratch))}",
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        f"allowed_paths = {file_list(parts)}",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")
