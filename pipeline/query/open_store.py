"""A DAG's part of a store, opened for SQL: which files each node's views read."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.query import views
from pipeline.query.part_sql import Growing
from pipeline.store import lost_lock

if TYPE_CHECKING:
    import duckdb

    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store


def tables(graph: "Dag", cache: "Store") -> dict[str, tuple[str, list[Path]]]:
    """Node name -> (table name, present parts). UserError when the store has nothing of the DAG."""
    lost_lock.check(graph, cache)
    images = graph.nodes["images"]
    found = {}
    for node in graph.nodes.values():
        listing = node.name == "listing"
        paths = cache.parts(node) if listing else cache.current(node, images, graph.corpus.tags)
        found[node.name] = (node.stage.output, paths)
    if not found["images"][1]:
        raise UserError(
            f"the store has nothing of '{graph.name}' yet",
            str(cache.root),
            f"run `item run {graph.path}` first, or give its --store, --set and --limit",
        )
    return found


def connect(
    graph: "Dag", cache: "Store", runs: bool = True, unsafe: bool = False
) -> "duckdb.DuckDBPyConnection":
    """A connection over the DAG's parts and, unless `runs` is false, the store's runs.

    The runs are those of every DAG that uses this store. It is confined to reading these files,
    unless `unsafe`. Raises UserError as `catalogue.connect` does, and when the store has nothing of
    the DAG.
    """
    return views.connect(tables(graph, cache), cache.runs() if runs else [], unsafe)


def save(graph: "Dag", cache: "Store", out: Path) -> None:
    """Writes a DuckDB database with the DAG's views, which keep up with the store as it grows.

    Of each node the parts count whose images are current when a query reads them: superseded parts
    never do, nor do parts in variants that the DAG does not ask for. A node without parts, and the
    runs when there are none, stay empty until the database is written again. It knows the store by
    its absolute path. Raises UserError as `connect` does.
    """
    pattern = cache.pattern(graph.nodes["images"])
    growing = {}
    for name, (table, paths) in tables(graph, cache).items():
        node, present = graph.nodes[name], None if name == "listing" else pattern
        tags = tuple(graph.corpus.tags)
        parts = Growing(cache.pattern(node), paths[0], present, tags) if paths else []
        growing[name] = (table, parts)
    views.save(growing, cache.runs_pattern(), out)
