"""The experiments of a DAG, run and shown: what `item train`, and the end of `item run`, do."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipeline.dag import Dag
    from pipeline.store import Store


def run_experiments(
    graph: "Dag", cache: "Store", names: list[str], memory: int | None, again: bool, quiet: bool
) -> dict[str, dict[str, object]]:
    """Run folder, metrics and means of each experiment; `experiments`, `runs` of these if several.

    `memory`: bytes that vectors may take; None: the default. Unless `again`, a run that these very
    inputs gave before is read back. The tables are printed unless `quiet`.
    """
    if not names:
        return {}
    from pipeline.access import connect
    from pipeline.head.study import plain_values, render_study, run_study

    connection = connect(graph, cache, runs=False)  # a damaged run must not stop the next one
    # of all nodes: a run may read any of them through the views, whatever they are called
    fingerprints = {node.name: node.fingerprint for node in graph.nodes.values()}
    measured: dict[str, dict[str, object]] = {}
    for name in names:
        study = run_study(
            connection,
            graph.experiments[name],
            name,
            cache.root / "runs",
            fingerprints,
            say=lambda line: typer.echo(line, err=True),
            again=again,
            memory=memory,
        )
        measured[name] = plain_values(study)
        if not quiet:
            typer.echo(render_study(study))
    return measured
