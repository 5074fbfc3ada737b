"""`item retry`: failed rows that the next run is to try again."""

from typing import Annotated

import typer

from pipeline.cli.call import reported, say
from pipeline.cli.console import print_rows
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    JsonOption,
    LimitOption,
    SetOption,
    StoreOption,
    limited,
)


def retry(
    dag: DagArgument = None,
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Of this node alone (default: of all).")
    ] = None,
    error: Annotated[
        str, typer.Option(metavar="LIKE", help="Whose error is like this, as in SQL: '%memory%'.")
    ] = "%",
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Forget failed rows, so that the next run computes them anew.

    What failed for now (a disk, a network, memory: `transient: …`) every run tries again by itself.
    """
    with reported("retry", dag, overrides, limit, store, as_json) as call:
        from pipeline.dag.graph import load
        from pipeline.query.open_store import tables
        from pipeline.store.parts import Store
        from pipeline.store.upkeep.retry import forget

        graph, cache = load(call.dag, limited(overrides, limit)), Store(store)
        tables(graph, cache)  # that there is something, and no lock is missing
        nodes = [graph.node(node)] if node else list(graph.nodes.values())
        found = {name: n for name, n in forget(graph, cache, nodes, error).items() if n}
        if as_json:
            rows = [{"node": name, "rows_forgotten": n} for name, n in found.items()]
            call.answer({"nodes": rows})
        elif found:
            print_rows(("node", "failed rows forgotten"), list(found.items()))
            say(call.addressed("`item run DAG` computes them anew"))
        else:
            say("no failed row is like that")
