"""The `item` command. Heavy imports live inside the commands, so that `--help` is quick."""

import shlex
import signal
import sys
from dataclasses import replace
from gc import set_threshold
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.audit import audit, brief
from pipeline.cli.call import FAILED_ROWS, USAGE, reported, say
from pipeline.cli.console import lacking_words, print_checks, print_plan, print_totals
from pipeline.cli.experiments import (
    as_tables,
    bind_experiments,
    content_with_some,
    look_at,
    run_experiments,
)
from pipeline.cli.gc import gc
from pipeline.cli.init import init
from pipeline.cli.models import models
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    InlineOption,
    JsonOption,
    LimitOption,
    MaxHoursOption,
    MemoryOption,
    OnlyOption,
    ReportOption,
    SchedulerOption,
    SetOption,
    StallOption,
    StoreOption,
    UntilOption,
    WorkersOption,
    complete_experiment,
    dags_here,
    is_dag,
    limited,
)
from pipeline.cli.pages import at_the_end, report, show
from pipeline.cli.predict import export, predict
from pipeline.cli.query import db, query
from pipeline.cli.upkeep import retry, verify
from pipeline.engine.stop import stopping
from pipeline.errors import UserError, nearest
from pipeline.version import __version__

if TYPE_CHECKING:
    from pipeline.corpus.layouts.survey import Survey
    from pipeline.dag.graph import Dag, Draft, Node
    from pipeline.engine.run import Options
    from pipeline.engine.stop import Stop
    from pipeline.store.parts import Store
    from pipeline.store.totals import NodeTotal

app = typer.Typer(
    name="item",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(models, name="models")
app.command()(init)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"item {__version__}")
        raise typer.Exit


@app.callback()
def _item(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it, and end."),
    ] = False,
) -> None:
    """Caption, parse, embed and compare images with their captions: once, into Parquet.

    Then train heads and ask questions in SQL, from the cache.
    """


def _read(dag: str, overrides: list[str] | None, limit: int | None = None) -> "Draft":
    from pipeline.dag.graph import read

    return read(dag, limited(overrides, limit))


def _load(dag: str, overrides: list[str] | None, limit: int | None = None) -> "Dag":
    from pipeline.dag.graph import fingerprinted

    return fingerprinted(_read(dag, overrides, limit))


@app.command()
def run(
    dag: DagArgument = None,
    until: UntilOption = None,
    only: OnlyOption = None,
    limit: LimitOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    inline: InlineOption = False,
    stall: StallOption = "10m",
    max_hours: MaxHoursOption = None,
    memory: MemoryOption = None,
    page: ReportOption = True,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Compute what is missing in the cache, then every experiment. Safe to stop and repeat.

    Several runs may share a store: each part is computed by one of them. SIGTERM and SIGUSR1 stop
    well: no new part, those in flight are committed, exit 0 with the command that goes on.
    """
    with (
        reported("run", dag, overrides, limit, store, as_json) as call,
        stopping(max_hours) as stop,
    ):
        from pipeline.dag import bundled
        from pipeline.engine import run as runner
        from pipeline.engine.health import durations
        from pipeline.head.vectors.memory import parse
        from pipeline.store.parts import Store

        if inline and (scheduler or workers):
            hint = "leave --scheduler, --workers out"
            raise UserError("--inline runs in this process", hint=hint)
        allowed = parse(memory)  # before anything is computed
        silence = durations.parse(stall, "--stall")
        graph, cache = _load(call.dag, overrides, limit), Store(store)
        nodes = _nodes(graph, until, only)
        names = [] if until or only else list(graph.experiments)
        options = runner.Options(inline, scheduler, workers, silence, stop)
        totals, surveyed = _computed(graph, cache, nodes, options, names, quiet=as_json)
        lacking = None if stop.why else lacking_words(graph, totals)
        if lacking:
            say(call.addressed(lacking), err=True)
        if told := bundled.note(nodes, [graph.corpus.root]):
            say(f"note: {told}", err=True)
        measured = run_experiments(
            graph, cache, names, allowed, again=False, quiet=as_json, stop=stop
        )
        audited = [] if stop.why or only else brief(graph, cache, call, quiet=as_json)
        go_on = _go_on(stop) if stop.why else None
        wanted = page and not only and not stop.why
        written = at_the_end(graph, cache, call, quiet=as_json) if wanted else None
        code = FAILED_ROWS if lacking else 0
        if as_json:
            layout, mapped = as_tables(surveyed)
            tables = {"nodes": list(map(vars, totals)), **mapped, **measured, "audit": audited}
            call.answer(tables, code, layout=layout, go_on=go_on, report=written)
        if code:
            raise typer.Exit(code)


def _computed(
    graph: "Dag",
    cache: "Store",
    nodes: "list[Node]",
    options: "Options",
    names: list[str],
    quiet: bool,
) -> "tuple[list[NodeTotal], dict[str, Any] | None]":
    """(the totals of the nodes, how the paths were read); what experiments select is checked first.

    Prints the totals, or, when `quiet`, has the survey of the paths returned instead of said.
    """
    from pipeline.engine import run as runner
    from pipeline.engine.progress import Reporter
    from pipeline.store.upkeep import lost_lock

    lost_lock.check(graph, cache)
    surveyed: list[Survey] = []
    if names:
        options = replace(options, bind=lambda dag, new: bind_experiments(dag, cache, new))
    if quiet:
        options = replace(options, mapped=surveyed.append)
    with Reporter() as reporter:
        totals = runner.run(graph, cache, nodes, options, reporter)
    if not quiet:
        print_totals(totals)
    return totals, surveyed[0].plain() if surveyed else None


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


@app.command()
def plan(
    dag: DagArgument = None,
    until: UntilOption = None,
    only: OnlyOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Estimate for N workers (default: as `run` has).")
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Measure on some images first, with a run's workers."),
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
    with reported("plan", dag, overrides, limit, store, as_json) as call:
        from pipeline.dag.graph import fingerprinted
        from pipeline.engine.machine import planned_gpus
        from pipeline.engine.progress import Reporter
        from pipeline.plan import estimate
        from pipeline.plan.plan import plan as make_plan
        from pipeline.setup.model_needs import unpinned_lines
        from pipeline.store.parts import Store

        draft = _read(call.dag, overrides, limit)
        whole = fingerprinted(draft)
        meant = {node.name: node for node in _nodes(whole, until, only)}
        looked = look_at(whole, Store(store))
        graph, changes = looked.graph, looked.changes
        for line in [] if as_json else looked.lines:
            say(line)
        for line in looked.warnings:
            say(line, err=True)
        if not until and not only:
            bind_experiments(graph, Store(store), changes)
        some = replace(graph, nodes=meant)  # a run has workers for what it computes
        count = estimate.workers_of(some, workers or planned_gpus(some))
        rates = None
        if calibrate:
            with Reporter() as reporter:
                few = draft.up_to(until or only)
                rates = estimate.calibrate(some, few, reporter, workers)
        steps = make_plan(graph, Store(store), count, rates, changes)
        steps = [step for step in steps if step.node in meant]
        if as_json:
            layout, mapped = as_tables(looked.labels)
            tables = {"nodes": [vars(step) for step in steps], **mapped}
            call.answer(tables, workers=count, layout=layout)
        else:
            print_plan(steps, count)
        for line in unpinned_lines(draft):
            say(f"{line}: `item models fetch` pins it", err=True)


@app.command()
def status(
    dag: DagArgument = None,
    limit: LimitOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """What is in the cache: parts, rows ok and failed, seconds and bytes of each node."""
    with reported("status", dag, overrides, limit, store, as_json) as call:
        from pipeline.query.open_store import tables
        from pipeline.store.totals import totals

        graph, cache = call.opened()
        tables(graph, cache)  # that there is something, and no lock is missing
        found = totals(graph, cache, list(graph.nodes.values()))
        if as_json:
            call.answer({"nodes": [vars(total) for total in found]})
        else:
            print_totals(found)


app.command()(audit)
app.command()(report)
app.command()(show)
app.command()(verify)
app.command()(retry)
app.command()(query)
app.command()(db)
app.command()(predict)
app.command()(export)


@app.command()
def train(
    dag: DagArgument = None,
    experiment: Annotated[
        str | None,
        typer.Argument(
            help="One experiment of the DAG (default: all).", autocompletion=complete_experiment
        ),
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
    if dag and not experiment and not is_dag(dag) and dags_here():
        dag, experiment = None, dag  # `item train EXPERIMENT`, of the DAG in this folder
    with reported("train", dag, overrides, limit, store, as_json) as call:
        from pipeline.head.vectors.memory import parse

        allowed = parse(memory)
        graph, cache = call.opened()
        if experiment and experiment not in graph.experiments:
            hint = nearest(experiment, graph.experiments)
            raise UserError(f"there is no experiment '{experiment}'", str(graph.path), hint)
        names = [experiment] if experiment else list(graph.experiments)
        if not names:
            raise UserError("the DAG has no experiments", str(graph.path), "add `experiments:`")
        if partial:
            graph = content_with_some(graph)
        measured = run_experiments(graph, cache, names, allowed, again=True, quiet=as_json)
        audited = brief(graph, cache, call, quiet=as_json)
        if as_json:
            call.answer({**measured, "audit": audited})


@app.command()
def doctor(
    dag: DagArgument = None,
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
    here = dags_here() if dag is None else []
    dag = here[0] if len(here) == 1 else dag
    with reported("doctor", dag, overrides, None, store, as_json, needs_dag=False) as call:
        from pipeline.setup.doctor import examine

        checks = examine(dag, overrides, store, load=not quick)
        checks = [replace(one, hint=one.hint and call.addressed(one.hint)) for one in checks]
        code = 0 if all(check.ok for check in checks) else USAGE
        if as_json:
            call.answer({"checks": [vars(check) for check in checks]}, code)
        else:
            print_checks(checks)
        if len(here) > 1:
            say(f"no DAG was checked; there are {', '.join(here)}: name one", err=True)
        if code:
            raise typer.Exit(code)


app.command()(gc)


def main() -> None:
    """What `item` does, with all of it imported."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's end is a Ctrl-C
    # libraries, and a million files' names, are much and no garbage: looked through less often
    set_threshold(50_000, 20, 100)
    try:
        app()
    finally:  # what libraries close at the end is not to be interrupted: it would be a traceback
        signal.signal(signal.SIGINT, signal.SIG_IGN)
