"""The `item` command. Heavy imports live inside the commands, so that `--help` is quick."""

import shlex
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.audit import audit, brief
from pipeline.cli.console import (
    FAILED_ROWS,
    USAGE,
    print_checks,
    print_json,
    print_plan,
    print_rows,
    print_totals,
    reported,
    say,
)
from pipeline.cli.experiments import bind_experiments, look_at, run_experiments
from pipeline.cli.models import models
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    JsonOption,
    LimitOption,
    MaxHoursOption,
    MemoryOption,
    SetOption,
    StallOption,
    StoreOption,
    limited,
)
from pipeline.cli.query import db, query
from pipeline.cli.retry import retry
from pipeline.cli.verify import verify
from pipeline.engine.stop import stopping
from pipeline.errors import UserError, nearest

if TYPE_CHECKING:
    from pipeline.dag.experiment import Experiment
    from pipeline.dag.graph import Dag, Draft, Node
    from pipeline.engine.stop import Stop
    from pipeline.store.totals import NodeTotal

app = typer.Typer(
    name="item",
    help="Caption, parse, embed and compare images with their captions: once, into Parquet. "
    "Then train heads and ask questions in SQL, from the cache.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(models, name="models")


def _read(dag: str, overrides: list[str] | None, limit: int | None = None) -> "Draft":
    from pipeline.dag.graph import read

    return read(dag, limited(overrides, limit))


def _load(dag: str, overrides: list[str] | None, limit: int | None = None) -> "Dag":
    from pipeline.dag.graph import fingerprinted

    return fingerprinted(_read(dag, overrides, limit))


@app.command()
def run(
    dag: DagArgument,
    until: Annotated[
        str | None, typer.Option(metavar="NODE", help="Stop after this node; no experiments.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="NODE", help="This node alone, on what is cached.")
    ] = None,
    limit: LimitOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Worker processes here, those of GPUs included (default: one for each GPU and "
            "half of the cores, or one for each core).",
        ),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A running Dask scheduler.")
    ] = None,
    inline: Annotated[bool, typer.Option(help="In this process, for debugging.")] = False,
    stall: StallOption = "10m",
    max_hours: MaxHoursOption = None,
    memory: MemoryOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Compute what is missing in the cache, then every experiment. Safe to stop and repeat.

    Several runs may share a store: each part is computed by one of them. SIGTERM and SIGUSR1 stop
    well: no new part, those in flight are committed, exit 0 with the command that goes on.
    """
    with reported(dag, overrides, limit, store) as addressed, stopping(max_hours) as stop:
        from pipeline.engine import run as runner
        from pipeline.engine.health import durations
        from pipeline.engine.progress import Reporter
        from pipeline.head.vectors.memory import parse
        from pipeline.store import lost_lock
        from pipeline.store.parts import Store

        if inline and (scheduler or workers):
            hint = "leave --scheduler, --workers out"
            raise UserError("--inline runs in this process", hint=hint)
        allowed = parse(memory)  # before anything is computed
        silence = durations.parse(stall, "--stall")
        graph, cache = _load(dag, overrides, limit), Store(store)
        nodes = _nodes(graph, until, only)
        lost_lock.check(graph, cache)
        names = [] if until or only else list(graph.experiments)
        labels: list[dict[str, object]] = []
        with Reporter() as reporter:
            options = runner.Options(inline, scheduler, workers, silence, stop)
            if names:
                options = replace(options, bind=lambda dag, new: bind_experiments(dag, cache, new))
            if as_json:
                options = replace(options, mapped=lambda whole: labels.append(whole.plain()))
            totals = runner.run(graph, cache, nodes, options, reporter)
        if not as_json:
            print_totals(totals)
        lacking = _lacking(graph, totals)
        if lacking and not stop.why:
            say(addressed(lacking), err=True)
        measured = run_experiments(
            graph, cache, names, allowed, again=False, quiet=as_json, stop=stop
        )
        audited = [] if stop.why or only else brief(graph, cache, addressed, quiet=as_json)
        go_on = _go_on(stop) if stop.why else None
        if as_json:
            said = {"nodes": list(map(vars, totals)), "labels": labels[0] if labels else None}
            print_json({**said, "experiments": measured, "audit": audited, "go_on": go_on})
        if lacking and not stop.why:
            raise typer.Exit(FAILED_ROWS)


def _nodes(graph: "Dag", until: str | None, only: str | None) -> "list[Node]":
    """The nodes that a run is about."""
    if until and only:
        raise UserError("--until and --only exclude each other", hint="give one of them")
    if only:
        return [graph.node(only)]
    return graph.upstream(until) if until else list(graph.nodes.values())


def _go_on(stop: "Stop") -> str:
    """Says why a run stopped; returns the command that goes on."""
    command = shlex.join(["item", *sys.argv[1:]])
    say(f"stopped ({stop.why}); go on with: {command}", err=True)
    return command


def _lacking(graph: "Dag", totals: "list[NodeTotal]") -> str | None:
    """What a run lacks: parts, or rows of which more failed than the DAG allows. None: nothing."""
    for total in totals:
        share = total.rows_failed / max(1, total.rows_in)
        if total.parts_done < total.parts or share > graph.max_failed_share:
            return (
                f"{total.node}: {total.parts_done} of {total.parts} parts done, "
                f"{total.rows_failed} of {total.rows_in} rows failed "
                f"(allowed share {graph.max_failed_share:g}); see `item query DAG failed_rows`"
            )
    return None


@app.command()
def plan(
    dag: DagArgument,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Estimate for N workers (default: as `run` has).")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure on 64 images first, loading the models.")
    ] = False,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """What a run would compute, on how many images, why, and at what cost. Changes nothing.

    Exit 2 when the SQL of an experiment is wrong, or selects nothing, as far as that is known yet.
    Time and storage are measured, by parts in the store or by --calibrate, or said to be unknown.
    """
    with reported(dag, overrides, limit, store):
        from pipeline.dag.graph import fingerprinted
        from pipeline.engine.machine import planned_gpus
        from pipeline.engine.progress import Reporter
        from pipeline.plan import estimate
        from pipeline.plan.plan import plan as make_plan
        from pipeline.setup.model_needs import unpinned_lines
        from pipeline.store.parts import Store

        draft = _read(dag, overrides, limit)
        looked = look_at(fingerprinted(draft), Store(store))
        graph, changes = looked.graph, looked.changes
        for line in [] if as_json else looked.lines:
            say(line)
        for line in looked.warnings:
            say(line, err=True)
        bind_experiments(graph, Store(store), changes)
        count = estimate.workers_of(graph, workers or planned_gpus(graph))
        rates = None
        if calibrate:
            with Reporter() as reporter:
                rates = estimate.calibrate(dag, overrides or [], reporter)
        steps = make_plan(graph, Store(store), count, rates, changes)
        if as_json:
            print_json({"nodes": [vars(step) for step in steps], "labels": looked.labels})
        else:
            print_plan(steps, count)
        for line in unpinned_lines(draft):
            say(f"{line}: `item models fetch` pins it", err=True)


@app.command()
def status(
    dag: DagArgument,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """What is in the cache: parts, rows ok and failed, seconds and bytes of each node."""
    with reported(dag, overrides, limit, store):
        from pipeline.store import lost_lock
        from pipeline.store.parts import Store
        from pipeline.store.totals import totals

        graph = _load(dag, overrides, limit)
        lost_lock.check(graph, Store(store))
        found = totals(graph, Store(store), list(graph.nodes.values()))
        if as_json:
            print_json([vars(total) for total in found])
        else:
            print_totals(found)


app.command()(audit)
app.command()(verify)
app.command()(retry)
app.command()(query)
app.command()(db)


@app.command()
def train(
    dag: DagArgument,
    experiment: Annotated[
        str | None, typer.Argument(help="One experiment of the DAG (default: all).")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Go on without images that are not computed yet.")
    ] = False,
    memory: MemoryOption = None,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Train and evaluate heads on cached features; no image is opened.

    Selected images that are not computed yet are an error, unless --partial.
    """
    with reported(dag, overrides, limit, store) as addressed:
        from pipeline.head.vectors.memory import parse
        from pipeline.store.parts import Store

        allowed = parse(memory)
        graph = _load(dag, overrides, limit)
        if experiment and experiment not in graph.experiments:
            hint = nearest(experiment, graph.experiments)
            raise UserError(f"there is no experiment '{experiment}'", str(graph.path), hint)
        names = [experiment] if experiment else list(graph.experiments)
        if not names:
            raise UserError("the DAG has no experiments", str(graph.path), "add `experiments:`")
        if partial:
            graph = replace(graph, experiments=_partial(graph))
        cache = Store(store)
        measured = run_experiments(graph, cache, names, allowed, again=True, quiet=as_json)
        audited = brief(graph, cache, addressed, quiet=as_json)
        if as_json:
            print_json({"experiments": measured, "audit": audited})


def _partial(graph: "Dag") -> "dict[str, Experiment]":
    """The experiments, content with what is computed."""
    found = graph.experiments.items()
    return {name: one.model_copy(update={"partial": True}) for name, one in found}


@app.command()
def doctor(
    dag: Annotated[str | None, typer.Argument(help="Check what this DAG needs, too.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at the models' files, load none.")
    ] = False,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, the store, and the models, devices and corpus of a DAG.

    Every model whose files are complete is loaded, unless --quick. Exit 2 when anything is missing,
    a GPU that the DAG asks for included.
    """
    with reported(dag, overrides, store=store) as addressed:
        from pipeline.setup.doctor import examine

        checks = examine(dag, overrides, store, load=not quick)
        checks = [replace(one, hint=one.hint and addressed(one.hint)) for one in checks]
        if as_json:
            print_json([vars(check) for check in checks])
        else:
            print_checks(checks)
        if not all(check.ok for check in checks):
            raise typer.Exit(USAGE)


@app.command()
def gc(
    dags: Annotated[list[str], typer.Argument(help="All DAGs whose caches are to be kept.")],
    delete: Annotated[bool, typer.Option(help="Delete; without it, only list.")] = False,
    overrides: SetOption = None,
    limit: LimitOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """List (or delete) cached nodes that none of these DAGs uses, and parts that nothing asks for.

    Such parts are of variants that none of them names, or of images that no listing has.
    """
    with reported():
        from pipeline.corpus.variants import tag
        from pipeline.store import lost_lock
        from pipeline.store.parts import Store
        from pipeline.store.upkeep import garbage

        cache = Store(store)
        kept: dict[str, set[str]] = {}
        for dag in dags:
            graph = _load(dag, overrides, limit)
            lost_lock.check(graph, cache)  # without its lock a DAG does not know its own cache
            for node in graph.nodes.values():
                tags = (tag(name) for name in graph.corpus.splits_of)
                kept.setdefault(node.folder, set()).update(tags)
        unused = garbage.unused(cache, kept)
        rows = [(one.folder, one.about, f"{one.bytes / 1e6:.1f} MB") for one in unused]
        print_rows(("node folder", "what", "size"), rows)
        if delete:
            for one in unused:
                garbage.delete(cache, one)
        folders = sum(one.parts is None for one in unused)
        total = sum(one.bytes for one in unused) / 1e6
        done = "deleted" if delete else "not used by these DAGs (--delete removes them)"
        say(
            f"{folders} node folders, and parts of {len(unused) - folders} others, "
            f"{total:.1f} MB {done}"
        )


def main() -> None:
    """Entry point of the `item` script."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's end is a Ctrl-C
    app()


if __name__ == "__main__":
    main()
