"""`item verify` proves the cache of a DAG, `item retry` has the next run try failed rows again."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.call import FAILED_ROWS, reported, say
from pipeline.cli.console import print_rows
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    JsonOption,
    LimitOption,
    SetOption,
    StoreOption,
)
from pipeline.errors import many

if TYPE_CHECKING:
    from pipeline.store.upkeep.verify import Fault


def verify(
    dag: DagArgument = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Set bad parts aside: the next run computes them anew.")
    ] = False,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Read every cached part of a DAG whole, and hold it against the others.

    Checksums of every byte, columns, ids, inputs, vectors; what needs no model is computed again
    for a sample. A part that a run had left and that is gone is named, too. Exit 1 when a part is
    bad or gone, unless with --fix: then all bad ones are set aside, and a run makes what lacks.
    """
    with reported("verify", dag, overrides, limit, store, as_json) as call:
        from pipeline.query.open_store import check_there
        from pipeline.store.upkeep.verify import missing, set_aside
        from pipeline.store.upkeep.verify import verify as verified

        graph, cache = call.opened()
        check_there(graph, cache)
        faults, parts, size = [], 0, 0
        for path, found in verified(graph, cache):
            parts, size = parts + 1, size + path.stat().st_size
            faults += found
            _say(found)
        gone = missing(graph, cache)
        _say(gone)
        aside = set_aside(cache, faults) if fix and faults else []
        bad = len({fault.path for fault in faults})
        code = FAILED_ROWS if (bad or gone) and not fix else 0
        if as_json:
            every = [*faults, *gone]
            each = [{"node": one.node, "path": str(one.path), "why": one.why} for one in every]
            aside_paths = [str(path) for path in aside]
            facts = {"parts": parts, "bytes": size, "set_aside": aside_paths}
            call.answer({"faults": each}, code, **facts)
        else:
            lost = f", {len(gone)} gone" if gone else ""
            say(f"{many(parts, 'part')}, {size / 1e6:,.1f} MB read: {bad or 'none'} bad{lost}")
            if aside:
                say(f"set aside in {cache.aside}")
            if bad and not fix:
                say("--fix sets the bad ones aside" if gone else "--fix sets them aside")
            elif bad or gone:
                say(call.addressed("`item run DAG` computes them anew"))
        if code:
            raise typer.Exit(code)


def _say(faults: "list[Fault]") -> None:
    for fault in faults:
        say(f"{fault.node}: {fault.path}: {fault.why}", err=True)


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
        from pipeline.query.open_store import tables
        from pipeline.store.upkeep.retry import forget

        graph, cache = call.opened()
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
