"""A DAG's part of a store, opened for SQL: which files each node's views read, and which rows."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.corpus.variants import CLEAN, ID_LENGTH
from pipeline.errors import UserError
from pipeline.query import views
from pipeline.query.part_sql import ASKED, Counted, Growing, Identity, Parts, identifier, literal
from pipeline.spec import phrase_template
from pipeline.store.contents import Share, asked_sql, outline
from pipeline.store.upkeep import lost_lock

if TYPE_CHECKING:
    import duckdb

    from pipeline.dag.graph import Dag, Node
    from pipeline.store.parts import Store


def tables(
    graph: "Dag", cache: "Store", found: Sequence[Share] | None = None
) -> dict[str, tuple[str, list[Path]]]:
    """Node name -> (table name, parts that have something of what the corpus asks for).

    UserError when the store has nothing of the DAG.
    """
    lost_lock.check(graph, cache)
    names = {one.part for one in (outline(graph, cache) if found is None else found)}
    if not names:
        raise _nothing(graph, cache)
    return {
        node.name: (
            node.stage.output,
            [p for p in cache.parts(node) if node.name == "listing" or p.name in names],
        )
        for node in graph.nodes.values()
    }


def check_there(graph: "Dag", cache: "Store") -> None:
    """UserError when the store has no part of the DAG, or its lock is missing. Reads no part."""
    lost_lock.check(graph, cache)
    if not any(True for node in graph.nodes.values() for _ in cache.parts(node)):
        raise _nothing(graph, cache)


def _nothing(graph: "Dag", cache: "Store") -> UserError:
    """Why there is nothing to ask: no store at all, or one of the same DAG on other images."""
    hint = "run `item run DAG` first, or give its --store, --set and --limit"
    others = [one for one in cache.recipes("listing") if one.get("dag") == graph.name]
    if others:
        corpora = [
            f"{one['corpus']}{f' (--limit {n})' if (n := one['parameters'].get('limit')) else ''}"
            for one in others
        ]
        hint += f"; of '{graph.name}' it has images of {', '.join(dict.fromkeys(corpora))}"
    where = str(cache.root) + ("" if cache.root.is_dir() else " (there is no such folder)")
    return UserError(f"the store has nothing of '{graph.name}' yet", where, hint)


def connect(
    graph: "Dag", cache: "Store", runs: bool = True, unsafe: bool = False
) -> "duckdb.DuckDBPyConnection":
    """A connection over the DAG's parts and, unless `runs` is false, the store's runs.

    Its relations have the rows of what the corpus asks for, whatever else lies in the parts. The
    runs are those of every DAG that uses this store. It is confined to reading these files,
    unless `unsafe`. Raises UserError as `views.connect` does, and when the store has nothing of
    the DAG.
    """
    found = outline(graph, cache)
    others = {one.variant for one in found if not one.whole}
    whole = {one.part for one in found if one.whole}
    clean = CLEAN in others
    counted = wanted_rows(graph, clean, whole) if others else {}
    asked = asked_sql(graph, others) if others else None
    files = tables(graph, cache, found)
    folders = cache.runs() if runs else []
    return views.connect(files, folders, unsafe, counted, identity(graph), asked)


def identity(graph: "Dag") -> Identity:
    """Whose runs are the DAG's own: those by its name, on nodes as they are now."""
    return Identity(graph.name, {node.name: node.fingerprint for node in graph.nodes.values()})


def wanted_rows(
    graph: "Dag", clean: bool = True, whole: Collection[str] = ()
) -> dict[str, Counted]:
    """Of each node but the listing which rows are of what the corpus asks for.

    In parts of clean images and of variants, or without `clean` of variants alone, but for those
    named in `whole`, of which all rows are.
    """
    ids = f"image_id in (select asked.image_id from store.{ASKED} as asked)"
    return {
        node.name: Counted(
            _wanted_texts(node, clean) if node.stage.key == "text_id" else ids, whole
        )
        for node in graph.nodes.values()
        if node.name != "listing"
    }


def _wanted_texts(node: "Node", clean: bool) -> str:
    before, after = (literal(some) for some in phrase_template(node.parameters).split("{}"))
    texts = {"captions": "caption", "objects": f"{before} || phrase || {after}"}
    # ids of variants are longer; hashing a million clean captions takes a second
    where = "" if clean else f" where length(image_id) > {ID_LENGTH}"
    wanted = " union all ".join(
        f"select left(sha256({texts[input_]}), 32) from store.{identifier(name)}{where}"
        for input_, name in node.inputs.items()
    )
    return f"text_id in ({wanted})"


def save(graph: "Dag", cache: "Store", out: Path) -> None:
    """Writes a DuckDB database with the DAG's views, which keep up with the store as it grows.

    Rows count of what the listing asks for when a query reads them. A node without parts, and the
    runs when there are none, stay empty until the database is written again. It knows the store by
    its absolute path. Raises UserError as `connect` does.
    """
    growing: dict[str, tuple[str, Parts]] = {}
    for name, (table, paths) in tables(graph, cache).items():
        parts: Parts = Growing(cache.pattern(graph.nodes[name]), paths[0]) if paths else []
        growing[name] = (table, parts)
    counted, asked = wanted_rows(graph), asked_sql(graph)
    views.save(growing, cache.runs_pattern(), out, counted, identity(graph), asked)
