"""A DAG's part of a store, opened for SQL: which files each node's views read."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import catalogue
from pipeline.errors import UserError

if TYPE_CHECKING:
    import duckdb

    from pipeline.dag import Dag
    from pipeline.store import Store


def tables(graph: "Dag", cache: "Store") -> dict[str, tuple[str, list[Path]]]:
    """Node name -> (table name, present parts). UserError when the store has nothing of the DAG."""
    images = graph.nodes["images"]
    found = {}
    for node in graph.nodes.values():
        paths = cache.parts(node) if node.name == "listing" else cache.current(node, images)
        found[node.name] = (node.stage.output, paths)
    if not found["images"][1]:
        raise UserError(
            f"the store has nothing of '{graph.name}' yet",
            str(cache.root),
            f"run `item run {graph.path}` first, or give its --store, --set and --limit",
        )
    return found


def connect(graph: "Dag", cache: "Store", runs: bool = True) -> "duckdb.DuckDBPyConnection":
    """A confined connection over the DAG's parts and, unless `runs` is false, the store's runs.

    The runs are those of every DAG that uses this store. Raises UserError as `catalogue.connect`
    does, and when the store has nothing of the DAG.
    """
    return catalogue.connect(tables(graph, cache), cache.runs() if runs else [])
