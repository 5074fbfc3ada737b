"""The experiments of a DAG, run and shown: what `item train`, and the end of `item run`, do."""

import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.cli.call import say
from pipeline.engine.stop import Stop, Stopped
from pipeline.errors import UserError, many

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store
    from pipeline.store.snapshot import Changes


@dataclass(frozen=True)
class Looked:
    """A corpus as it is now.

    `graph`: the DAG, its layout settled. `changes`: what the store does not list yet. `labels`: how
    the paths are read, for machines; `lines`: the same for people; `warnings`: what is odd in it.
    """

    graph: "Dag"
    changes: "Changes"
    labels: dict[str, Any]
    lines: list[str]
    warnings: list[str]


def look_at(graph: "Dag", cache: "Store") -> Looked:
    """Lists a corpus and reads its paths. UserError where its root does not fit the layout."""
    from pipeline.engine.queues import index
    from pipeline.store.layout import settled
    from pipeline.store.snapshot import compare

    found = index.find(graph, cache)
    graph = settled(graph, cache, found)
    whole, warnings = index.surveyed(graph, found)
    lines = index.label_lines(graph, whole)
    warnings = [*warnings, *index.unlisted(found)]
    return Looked(graph, compare(graph, cache, found), whole.plain(), lines, warnings)


def as_tables(labels: dict[str, Any] | None) -> tuple[str | None, dict[str, list[dict[str, Any]]]]:
    """How paths are read, for --json: the layout, and tables; None where nothing new was read."""
    if labels is None:
        return None, {"labels": [], "misfits": []}
    return labels["layout"], {"labels": labels["mapping"], "misfits": labels["misfits"]}


def bind_experiments(graph: "Dag", cache: "Store", changes: "Changes") -> None:
    """Checks the experiments before anything is computed: SQL (`pipeline.head.rows.bind`), files.

    `changes`: what the store does not list yet.
    """
    if graph.experiments:
        from pipeline.head.methods.foreign import check
        from pipeline.head.rows.bind import bind

        bind(graph, cache, changes)
        for experiment in graph.experiments.values():
            check(experiment.foreign)


def run_experiments(
    graph: "Dag",
    cache: "Store",
    names: list[str],
    memory: int | None,
    again: bool,
    quiet: bool,
    stop: Stop | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """The tables `runs`, `metrics`, `means` and `differences` of the experiments, in their order.

    `memory`: bytes that vectors may take; None: the default. Unless `again`, a run that these very
    inputs gave before is read back. The tables are printed unless `quiet`. None is begun once
    `stop` is asked, and a signal to stop ends the one that goes on: it is not among the answers.
    """
    from pipeline.head.report.study_table import plain_tables, render_study

    measured = plain_tables({})
    if not names:
        return measured
    from pipeline.head.experiment_runs import run_study
    from pipeline.output.table import width_of
    from pipeline.plan.missing_parts import lacking_variants
    from pipeline.query.open_store import connect
    from pipeline.store.contents import asked
    from pipeline.store.todo import check_not_stale

    connection = connect(graph, cache, runs=False)  # a damaged run must not stop the next one
    check_not_stale(cache, list(graph.nodes.values()), asked(graph, cache))
    # of all nodes: a run may read any of them through the views, whatever they are called
    fingerprints = {node.name: node.fingerprint for node in graph.nodes.values()}
    lacking = lacking_variants(graph, cache)
    for name in names:
        if lacking and graph.experiments[name].reads_variants:
            _check_partial(graph, name, lacking)
        if stop is not None and stop.asked():
            break
        try:
            with stop.at_once() if stop is not None else nullcontext():
                study = run_study(
                    connection,
                    graph.experiments[name],
                    name,
                    cache.runs_folder,
                    fingerprints,
                    say=partial(say, err=True),
                    again=again,
                    memory=memory,
                    dag=graph.name,
                )
        except Stopped:
            break
        for table, rows in plain_tables(study).items():
            measured[table] += rows
        if not quiet:
            say(render_study(study, width_of(sys.stdout)))
    return measured


def _check_partial(graph: "Dag", name: str, lacking: dict[str, int]) -> None:
    """UserError unless the experiment goes on without what is not computed."""
    if not graph.experiments[name].partial:
        raise UserError(
            f"not made yet: {many(len(lacking), 'part')} of images in variants, "
            f"{many(sum(lacking.values()), 'row')}",
            f"experiments.{name}",
            "compute them with `item run DAG --until features`, or go on with the others: "
            "`item train DAG --partial`",
        )


def content_with_some(graph: "Dag") -> "Dag":
    """The DAG with experiments that go on without images that are not computed yet."""
    found = graph.experiments.items()
    own = {name: one.model_copy(update={"partial": True}) for name, one in found}
    return replace(graph, experiments=own)
