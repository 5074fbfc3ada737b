"""The SQL catalogue of a store: one relation per node, and the views of `sql/views`.

What a connection holds (all read-only):
- `store.<node>`: the rows of every node as they lie in its parts, and `store.<table>` for the node
  on which that table's canonical view sits;
- a view per node, and one per table: `captions` is the node called `captions` or, when no node is
  called so, the only one that makes captions;
- `nodes`, `receipts` (a row a part) and `failures` (a row a failed row), over all nodes;
- `store.runs` and `store.predictions`: the metrics and predictions of the store's trained runs;
- every further file of `sql/views`, in the order of their names.

A view file is plain SQL with two slots: `{{ node }}`, the node it reads, and `{{ width }}`, the
width of its vectors.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pipeline.errors import UserError
from pipeline.resources import folder

if TYPE_CHECKING:
    import duckdb

Tables = Mapping[str, tuple[str, list[Path]]]

_GENERATED = ("nodes", "receipts", "failures")
_KEYS = {"listing": "uri", "text_embeddings": "text_id"}  # every other table: image_id
_SQL_TYPES = {
    "string": "varchar",
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float": "float",
    "bool": "boolean",
}
# receipts' columns that are read from a part's metadata, with their SQL types
_RECEIPT = {
    "part": "varchar",
    "rows_in": "bigint",
    "rows_ok": "bigint",
    "rows_failed": "bigint",
    "seconds_read": "double",
    "seconds_infer": "double",
    "seconds_write": "double",
    "finished": "timestamp",  # UTC
    "host": "varchar",
}
# the files of a run's folder: relation -> (file, the columns that it always has)
_RUN_FILES = {
    "runs": (
        "metrics.parquet",
        {
            "experiment": "varchar",
            "run_id": "varchar",
            "saved": "timestamp",  # UTC
            "method": "varchar",
            "generator": "varchar",
            "seen": "boolean",
            **dict.fromkeys(("ap", "auroc", "accuracy", "tnr", "tpr"), "double"),
            "n": "bigint",
        },
    ),
    "predictions": (
        "predictions.parquet",
        {
            "experiment": "varchar",
            "run_id": "varchar",
            "method": "varchar",
            "image_id": "varchar",
            "generator": "varchar",
            "split": "varchar",
            "label": "tinyint",
            "probability": "double",
        },
    ),
}


def connect(tables: Tables, runs: Sequence[Path] = ()) -> "duckdb.DuckDBPyConnection":
    """A confined in-memory connection over `tables`: node name -> (table name, part files).

    `runs`: the folders of trained runs, `…/<experiment>/<run id>`. A node without parts is an empty
    relation of its table's columns, and so are `runs` and `predictions` without runs. After set-up
    no setting can be changed, and no file can be opened but these parts and the runs' tables.
    Raises UserError for a file that is not readable Parquet, and for a node whose name belongs to a
    view of another kind.
    """
    import duckdb

    from pipeline.tables import COLUMNS

    views = {path.stem: path.read_text("utf-8") for path in _view_files()}
    _check_names(tables, set(COLUMNS), {*views, *_GENERATED} - set(COLUMNS))
    connection = duckdb.connect(":memory:")
    widths = _widths(tables)
    canonical = _canonical(tables)
    several = {t for t, node in canonical.items() if not node and t in dict(tables.values())}
    try:
        connection.execute("create schema store")
        for node, (table, parts) in tables.items():
            source = _parts(parts) if parts else _empty(table)
            connection.execute(f"create view store.{_name(node)} as {source}")
        for table, node in canonical.items():
            if table not in tables and table not in several:
                source = f"from store.{_name(node)}" if node else _empty(table)
                connection.execute(f"create view store.{_name(table)} as {source}")
        for name, sql in _generated(tables).items():
            connection.execute(f"create view {name} as {sql}")
        for name in _RUN_FILES:
            connection.execute(f"create view store.{name} as {_of_runs(name, runs)}")
        for table in COLUMNS:
            if table not in several:
                _view(connection, table, views[table], table, widths.get(canonical[table]))
        for node, (table, _) in tables.items():
            if node != table:
                _view(connection, node, views[table], node, widths[node])
        for name in extra_views():
            # a view of a table that several nodes make cannot be: `undecided` tells why
            with suppress(*([duckdb.CatalogException] if several else [])):
                _view(connection, name, views[name])
    except duckdb.Error as error:
        raise UserError(
            f"the store cannot be read: {str(error).strip()}",
            hint="if a part is damaged, delete that file: `item run` computes it again; "
            "if a run's file is, delete the run's folder: `item train` trains it again",
        ) from error
    parts = [part for _, parts in tables.values() for part in parts]
    _confine(connection, [*parts, *(path for name in _RUN_FILES for path in _found(name, runs))])
    return connection


def extra_views() -> list[str]:
    """The views beyond one a table, in the order of their names."""
    from pipeline.tables import COLUMNS

    return [path.stem for path in _view_files() if path.stem not in COLUMNS]


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


def _canonical(tables: Tables) -> dict[str, str | None]:
    """The node on which each table's view sits; None where no node, or no single one, makes it."""
    from pipeline.tables import COLUMNS

    chosen: dict[str, str | None] = {}
    for table in COLUMNS:
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
        column = next((name for name, kind in COLUMNS[table].items() if kind is EMBEDDING), None)
        if column and parts:
            try:
                known[node] = pq.read_schema(parts[0]).field(column).type.list_size
            except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
                raise UserError(
                    f"the part is not Parquet with a vector column '{column}': {error}",
                    where=str(parts[0]),
                    hint="delete the file: `item run` computes it again",
                ) from error
    borrowed = next(iter(known.values()), 1)
    return {None: borrowed} | {node: known.get(node, borrowed) for node in tables}


def _parts(parts: list[Path]) -> str:
    # Without the option a folder called `a=b` would become a column.
    return f"select * from read_parquet({_files(parts)}, hive_partitioning = false)"


def _empty(table: str) -> str:
    from pipeline.tables import COLUMNS

    columns = []
    for name, kind in COLUMNS[table].items():
        sql_type = _SQL_TYPES.get(str(kind), "float[]")
        columns.append(f"null::{sql_type} as {_name(name)}")
    return f"select {', '.join(columns)} where false"


def _found(name: str, runs: Sequence[Path]) -> list[Path]:
    """The files of `runs` or `predictions` that are there."""
    return [path for folder in runs if (path := folder / _RUN_FILES[name][0]).is_file()]


def _of_runs(name: str, runs: Sequence[Path]) -> str:
    """All runs' rows of one file. Runs of other versions may have other columns: null elsewhere."""
    columns = ", ".join(f"null::{kind} as {column}" for column, kind in _RUN_FILES[name][1].items())
    empty = f"select {columns} where false"
    found = _found(name, runs)
    if not found:
        return empty
    files = _files(found)
    # a row's run is where its file lies, whatever columns the file has
    place = ", ".join(
        f"parse_path(filename)[{-2 - up}] as {column}"
        for up, column in enumerate(("run_id", "experiment"))
    )
    others = "columns(lambda c: c not in ('experiment', 'run_id', 'saved', 'filename'))"
    source = (
        f"read_parquet({files}, union_by_name = true, filename = true, hive_partitioning = false)"
    )
    if name == "runs":
        place += ", make_timestamp(epoch_us(last_modified)) as saved"
        others = others.replace("'filename'", "'filename', 'last_modified'")
        source += f" join (select filename, last_modified from read_blob({files})) using (filename)"
    return f"{empty} union all by name select {place}, {others} from {source}"


def _view(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    sql: str,
    node: str = "",
    width: int | None = None,
) -> None:
    filled = sql.replace("{{ node }}", _name(node)).replace("{{ width }}", str(width))
    connection.execute(f"create view {_name(name)} as {filled}")


def _generated(tables: Tables) -> dict[str, str]:
    """`nodes`, `receipts` and `failures`: unions over all nodes, read only when a query asks."""
    nodes = [
        f"({position}, {_text(node)}, {_text(table)}, {len(parts)})"
        for position, (node, (table, parts)) in enumerate(tables.items())
    ] or ["(null::integer, null::varchar, null::varchar, null::integer)"]
    receipts, failures = [_no_receipts()], []
    for node, (table, parts) in tables.items():
        if parts:
            receipts.append(_receipts(node, parts))
        key = _KEYS.get(table, "image_id")
        number = "object_no" if table in ("objects", "regions", "object_embeddings") else "null"
        failures.append(
            f"select {_text(node)} as node, {_text(table)} as table_name, {key} as key, "
            f"{number}::integer as object_no, error from store.{_name(node)} "
            "where error is not null"
        )
    return {
        "nodes": f"from (values {', '.join(nodes)}) as nodes(position, node, table_name, parts) "
        "where node is not null",
        "receipts": " union all ".join(receipts),
        "failures": " union all ".join(failures)
        or "select null::varchar as node, null::varchar as table_name, null::varchar as key, "
        "null::integer as object_no, null::varchar as error where false",
    }


def _no_receipts() -> str:
    types = {"node": "varchar", "stage": "varchar", **_RECEIPT, "bytes": "bigint"}
    return f"select {', '.join(f'null::{t} as {c}' for c, t in types.items())} where false"


def _receipts(node: str, parts: list[Path]) -> str:
    """A row a part. The node's name is the DAG's: the part may come from a run of another DAG."""
    files = _files(parts)
    columns = ", ".join(
        f"try_cast(max(decode(value)) filter (where decode(key) = 'item.{name}') as {kind}) "
        f"as {name}"
        for name, kind in {"stage": "varchar", **_RECEIPT}.items()
    )
    return (
        f"select {_text(node)} as node, metadata.* exclude (file_name), "
        "sizes.file_size_bytes::bigint as bytes "
        f"from (select file_name, {columns} from parquet_kv_metadata({files}) group by file_name) "
        f"as metadata join parquet_file_metadata({files}) as sizes using (file_name)"
    )


def _confine(connection: "duckdb.DuckDBPyConnection", parts: list[Path]) -> None:
    """After this no statement opens a file but the parts, loads an extension, or undoes it.

    DuckDB lets queries into its temporary directory, so that is a new one of our own.
    """
    scratch = Path(tempfile.gettempdir()) / f"item-query-{uuid4().hex}"
    for setting in (
        f"temp_directory = {_text(str(scratch))}",
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        f"allowed_paths = {_files(parts)}",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")


def _files(parts: list[Path]) -> str:
    return f"[{', '.join(_text(str(part.absolute())) for part in parts)}]"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
