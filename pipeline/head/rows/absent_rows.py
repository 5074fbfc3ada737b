"""What a predicate asks for and the cache does not have, in words for messages."""

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import nearest
from pipeline.query.part_sql import identifier

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def misspelt(connection: "DuckDBPyConnection", predicate: str) -> str:
    """The first text in a predicate that no listed file has, with the nearest one; or nothing."""
    texts = r"\b(generator|dataset|split|class_name)\s*=\s*'([^']*)'"
    for column, text in re.findall(texts, predicate):
        sql = f"select distinct {column} from listing where {column} is not null"
        known = [value for (value,) in connection.execute(sql).fetchall()]
        if text not in known:
            return f"no file has {column} '{text}': {nearest(text, known)} "
    return ""


def lacking(connection: "DuckDBPyConnection", image_ids: pa.ChunkedArray) -> str:
    """The nodes that have no row of some of these images, each with how many, in words."""
    sql = "select node from nodes where table_name not in ('listing', 'text_embeddings')"
    nodes = [name for (name,) in connection.execute(f"{sql} order by position").fetchall()]
    found = []
    connection.register("item_asked", pa.table({"image_id": image_ids}))
    try:
        for node in nodes:
            sql = f"select count(*) from item_asked anti join store.{identifier(node)} using"
            ((count,),) = connection.execute(f"{sql} (image_id)").fetchall()
            found += [f"{node} {count:,}"] if count else []
    finally:
        connection.unregister("item_asked")
    return ", ".join(found)
