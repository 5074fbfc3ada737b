"""What an experiment's predicates may name, and how they are asked."""

import re
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from pipeline.errors import UserError, nearest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# what a predicate may name, with the view that a column comes from
COLUMNS = {
    **dict.fromkeys(("uri", "image_id", "label", "generator", "dataset", "split"), "listing"),
    **dict.fromkeys(("class_name", "released", "bytes", "width", "height", "format"), "listing"),
    **dict.fromkeys(("mode", "jpeg_quality", "jpeg_tables", "has_exif"), "listing"),
    **dict.fromkeys(("num_objects", "cosine_global", "distance_global"), "features"),
    **dict.fromkeys(("cosine_local", "distance_local"), "features"),
}

# of the listing's, those that follow from a file's path, without its content
OF_PATHS = ("uri", "label", "generator", "dataset", "split", "class_name", "released")


def made(connection: "DuckDBPyConnection") -> frozenset[str]:
    """The tables that the DAG's nodes make."""
    return frozenset(t for (t,) in connection.sql("select table_name from nodes").fetchall())


def query(connection: "DuckDBPyConnection", sql: str, where: str, hint: str) -> pa.Table:
    """The rows of one select; DuckDB's own message for a wrong one, with the nearest column."""
    try:
        if len(connection.extract_statements(sql)) != 1:
            raise UserError("a predicate is one SQL condition, not several statements", where, hint)
        return connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        message = str(error).strip()
        column = re.search(r'Referenced column "([^"]+)" not found', message)
        if column and column[1] in COLUMNS:
            hint = f"'{column[1]}' comes from {COLUMNS[column[1]]}, which no node of this DAG makes"
        elif column:
            hint = f"{nearest(column[1], COLUMNS)} (text goes between single quotes: 'gan')"
        raise UserError(message, where, hint) from error
