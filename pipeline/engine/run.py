"""The run: index the corpus, compute every missing part, say what came of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import randrange

import pyarrow as pa

from pipeline.corpus.layouts.survey import Survey
from pipeline.corpus.sources.found import Found
from pipeline.dag.graph import Dag, Node
from pipeline.engine import drive, executors
from pipeline.engine.health.watch import DEFAULT_STALL
from pipeline.engine.progress import Reporter
from pipeline.engine.queues import index
from pipeline.engine.queues.schedule import Schedule
from pipeline.engine.queues.shared import SharedQueue
from pipeline.engine.stop import Stop, closed_in_peace
from pipeline.engine.task import Receipt
from pipeline.errors import many
from pipeline.store.contents import (
    Asked,
    asked,
    asked_and_lost,
    check_distinct,
    check_variants,
    remember,
)
from pipeline.store.layout import open_listing, settled
from pipeline.store.parts import Store
from pipeline.store.register import register
from pipeline.store.sharing.claims import Claims
from pipeline.store.snapshot import Changes, compare, drop_outdated, summary, take_over
from pipeline.store.totals import NodeTotal, totals


@dataclass(frozen=True)
class Options:
    """How to run: `inline`, on a `scheduler`, or on the DAG's cluster.

    `workers`: processes of a local cluster; None: as the DAG says. What is silent for `stall`
    seconds is ended and tried again (None: nothing is). Once `stop` is asked, no new part is begun;
    `run` returns when those in flight are committed. `bind` is called once the listing is there,
    with the DAG (its layout settled) and what the listing lacks all the same (another run lists
    it), before any model is loaded: its UserError ends the run. `mapped` gets how the paths of a
    corpus with new files are read; None: the run says it. `told`: what the corpus is like has been
    said already.
    """

    inline: bool = False
    scheduler: str | None = None
    workers: int | None = None
    stall: float | None = DEFAULT_STALL
    stop: Stop = field(default_factory=Stop)
    bind: Callable[[Dag, Changes], object] | None = None
    mapped: Callable[[Survey], object] | None = None
    told: bool = False


def run(
    dag: Dag, store: Store, nodes: Sequence[Node], options: Options, reporter: Reporter
) -> list[NodeTotal]:
    """Computes what is missing of `nodes` (in topological order); returns the totals of each.

    Raises UserError for what the user can mend; KeyboardInterrupt passes through. Whatever was
    committed before either stays.
    """
    store.create()
    with closed_in_peace() as stack:
        claims = stack.enter_context(store.claiming(reporter.say, options.stop.asked))
        running = _Lazy(stack, dag, nodes, options, reporter)
        sharing = _Sharing(store, claims, running, options, reporter)
        files = index.find(dag, store, keep=True)
        dag = settled(dag, store, files)
        unlisted, found = _index(dag, store, files, sharing)
        remember(dag, store, found)
        if options.bind is not None and not options.stop.asked():
            options.bind(dag, unlisted)
        _compute(dag, store, nodes, found, sharing, reporter)
        remember(dag, store, found)
    return totals(dag, store, nodes, found)


class _Lazy:
    """Starts workers when the first task needs them: a run with nothing to do starts none."""

    def __init__(
        self,
        stack: ExitStack,
        dag: Dag,
        nodes: Sequence[Node],
        options: Options,
        reporter: Reporter,
    ):
        self._stack, self._nodes, self._cluster = stack, nodes, dag.cluster
        self._options, self._say, self._going = options, reporter.say, reporter.going
        self._executor: drive.Executor | None = None

    def get(self) -> drive.Executor:
        """The run's executor, started at the first call."""
        if self._executor is None:
            options = self._options
            context = executors.executor(
                self._nodes,
                options.inline,
                options.scheduler,
                options.workers,
                self._say,
                options.stall,
                self._cluster,
                self._going,
            )
            self._executor = self._stack.enter_context(context)
        return self._executor


class _Sharing:
    """Drives queues through the run's workers, part by part as claims allow."""

    def __init__(
        self, store: Store, claims: Claims, running: _Lazy, options: Options, reporter: Reporter
    ):
        self.claims, self.stopping, self._mapped = claims, options.stop.asked, options.mapped
        self._store, self._running, self._stop = store, running, options.stop
        self._reporter, self._stall = reporter, options.stall
        self.say = _nothing if options.told else reporter.say  # of the corpus

    def show(self, surveyed: tuple[Survey, list[str]], dag: Dag, new: bool) -> None:
        """Says how paths are read, where there are `new` ones, and the warnings."""
        whole, warnings = surveyed
        if new and self._mapped is not None:
            self._mapped(whole)
        said = index.label_lines(dag, whole) if new and self._mapped is None else []
        for line in [*said, *warnings]:
            self.say(line)

    def drive(
        self,
        queue: drive.Queue,
        sizes: Mapping[str, int],
        done: Mapping[str, Collection[str]],
        here: bool = False,
    ) -> None:
        """Computes what `queue` hands out, by the run's workers, or `here` in this process.

        `sizes`: the images of each part; `done`: the parts of each node that are there.
        """
        say, counter = self._reporter.say, _Counter(self._reporter, sizes, done)
        shared = SharedQueue(queue, self._store, self.claims, self._stop, counter.part, say)
        with ExitStack() as stack:
            if here:
                going, stall = self._reporter.going, self._stall
                context = executors.executor((), True, None, None, say, stall, going=going)
                running = stack.enter_context(context)
            else:
                running = self._running.get()
            drive.drive(shared, running, counter.part, counter.failure)


def _nothing(line: str) -> None:
    """Says nothing."""


def _index(dag: Dag, store: Store, found: Found, sharing: _Sharing) -> tuple[Changes, list[Asked]]:
    """Brings the listing up to date; returns what it lacks all the same, and what is asked for."""
    listing, images = dag.nodes["listing"], dag.nodes["images"]
    ignored = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.ignored.items()))
    beside = ", ".join(f"{count} {suffix}" for suffix, count in found.beside.items())
    sharing.say(
        f"{many(len(found.files), 'image file')} under {dag.corpus.root}"
        + (f" (other files there, not read: {ignored})" if ignored else "")
        + (f" (files beside them say what they are: {beside})" if beside else "")
    )
    changes = compare(dag, store, found)
    if changes:
        sharing.show(index.surveyed(dag, found), dag, len(changes.new) > changes.again)
    for line in index.unlisted(found):
        sharing.say(line)
    store.open_node(images, dag.name)
    open_listing(dag, store)
    asked_for, lost = ([], 0) if changes else asked_and_lost(dag, store)
    new = bool(changes or lost)
    with ExitStack() as stack:  # one run at a time: what two list at once would be listed twice
        for node in (listing, images) if new else ():  # every run in this order
            if not stack.enter_context(sharing.claims.alone(node.folder, node.name)):
                return compare(dag, store, found), asked(dag, store)  # another run lists them
            sharing.claims.sweep(node.folder)
        changes = compare(dag, store, found)  # another run may have been quicker
        if changes and not sharing.stopping():
            before = drop_outdated(dag, store, changes)
            unknown = take_over(dag, store, changes.new, before)
            queue = index.listing_queue(dag, store, unknown)
            if queue.total:
                # what ended a run before may be a file that ends the process that describes it
                here = index.is_quick(unknown) and not sharing.claims.took_over
                sizes = {task.part: task.files.num_rows for task in queue.tasks}
                sharing.drive(queue, sizes, {listing.name: ()}, here)
            sharing.say(f"the corpus has changed: {summary(dag, store, changes, before)}")
        if new and not sharing.stopping():
            register(dag, store)
    if new:
        changes = compare(dag, store, found)
        pa.default_memory_pool().release_unused()  # of a million files a quarter of a GiB
        asked_for = asked(dag, store)
    return changes, asked_for


def _compute(
    dag: Dag,
    store: Store,
    nodes: Sequence[Node],
    found: list[Asked],
    sharing: _Sharing,
    reporter: Reporter,
) -> None:
    for variant in check_variants(dag, found) if found else ():
        reporter.say(f"no image is there to be perturbed for corpus.variants, {variant}")
    check_distinct(nodes, found)
    # what is asked for in variants is made of the images first
    wanted = [dag.nodes["images"], *(node for node in nodes if node in dag.computed)]
    schedule = Schedule(store, wanted, found, dag.nodes)
    if not any(schedule.missing(node) for node in wanted) or sharing.stopping():
        return
    for folder, node in {node.folder: node for node in wanted if schedule.missing(node)}.items():
        store.open_node(node, dag.name, dag.corpus.root)
        sharing.claims.sweep(folder)
    if sharing.claims.others():  # where others are at work, each begins at another place
        first = randrange(len(found))  # noqa: S311 (no secret)
        found = found[first:] + found[:first]
    schedule = Schedule(store, wanted, found, dag.nodes)  # another run may have gone on
    if not any(schedule.missing(node) for node in wanted):
        return
    sizes = {one.part: len(one.ids) for one in found}
    sharing.drive(schedule, sizes, {node.name: schedule.done(node) for node in wanted})
    for node in wanted:
        if not sharing.stopping() and (waits_for := schedule.waits_for(node)):
            reporter.say(f"{node.name} waits for parts of {', '.join(waits_for)}")


class _Counter:
    """Counts parts, and their images, for the reporter."""

    def __init__(
        self, reporter: Reporter, sizes: Mapping[str, int], done: Mapping[str, Collection[str]]
    ):
        self._reporter, self._sizes = reporter, sizes
        for name, parts in done.items():
            images = sum(sizes[part] for part in parts)
            reporter.node(name, (len(parts), len(sizes)), (images, sum(sizes.values())))

    def part(self, done: Receipt) -> None:
        self._reporter.part(done, self._sizes[done.part])

    def failure(self, node: str, part: str, why: str) -> None:
        self._reporter.say(f"{node}: {part} was not computed: {why}")
