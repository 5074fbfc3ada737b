"""The run: index the corpus, compute every missing part, say what came of it."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import randrange

from pipeline.dag.graph import Dag, Node
from pipeline.engine import drive, executors
from pipeline.engine.health.watch import DEFAULT_STALL
from pipeline.engine.progress import Reporter
from pipeline.engine.queues import index, variant_parts
from pipeline.engine.queues.schedule import Schedule
from pipeline.engine.queues.shared import SharedQueue
from pipeline.engine.stop import Stop
from pipeline.engine.task import Receipt, receipt
from pipeline.store.claims import Claims
from pipeline.store.parts import Store, part_tag
from pipeline.store.provenance import differences


@dataclass(frozen=True)
class Options:
    """How to run: `inline`, on a `scheduler`, or on the DAG's cluster.

    `workers`: processes of a local cluster; None: as the DAG says. What is silent for `stall`
    seconds is ended and tried again (None: nothing is). Once `stop` is asked, no new part is begun;
    `run` returns when those in flight are committed. `bind` is called once the listing is there,
    with the (uri, path) of files that it lacks all the same (another run lists them), before any
    model is loaded: its UserError ends the run.
    """

    inline: bool = False
    scheduler: str | None = None
    workers: int | None = None
    stall: float | None = DEFAULT_STALL
    stop: Stop = field(default_factory=Stop)
    bind: Callable[[Sequence[tuple[str, str]]], object] | None = None


@dataclass(frozen=True)
class NodeTotal:
    """A node's committed rows: rows in = rows ok + rows failed."""

    node: str
    parts_done: int
    parts: int
    rows_in: int
    rows_variants: int  # of rows_in, those of images in variants, or of their texts
    rows_ok: int
    rows_failed: int
    seconds: float  # summed over parts, whoever computed them and when
    bytes: int
    mixed: str  # versions of libraries in which its parts differ; empty when in none


def run(
    dag: Dag, store: Store, nodes: Sequence[Node], options: Options, reporter: Reporter
) -> list[NodeTotal]:
    """Computes what is missing of `nodes` (in topological order); returns the totals of each.

    Raises UserError for what the user can mend; KeyboardInterrupt passes through. Whatever was
    committed before either stays.
    """
    store.create()
    with ExitStack() as stack:
        claims = stack.enter_context(store.claiming(reporter.say, options.stop.asked))
        running = _Lazy(stack, dag, nodes, options, reporter)
        sharing = _Sharing(store, claims, running, options, reporter)
        unlisted = _index(dag, store, sharing, reporter)
        if options.bind is not None and not options.stop.asked():
            options.bind(unlisted)
        _perturb(dag, store, sharing, reporter)
        _compute(dag, store, nodes, sharing, reporter)
    return totals(dag, store, nodes)


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
        self._options, self._say = options, reporter.say
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
            )
            self._executor = self._stack.enter_context(context)
        return self._executor


class _Sharing:
    """Drives queues through the run's workers, part by part as claims allow."""

    def __init__(
        self, store: Store, claims: Claims, running: _Lazy, options: Options, reporter: Reporter
    ):
        self.claims, self.stopping = claims, options.stop.asked
        self._store, self._running, self._stop = store, running, options.stop
        self._reporter = reporter

    def drive(self, queue: drive.Queue, parts: dict[str, tuple[int, int]]) -> None:
        """Computes what `queue` hands out; `parts`: how many of each node are done, of how many."""
        say, counter = self._reporter.say, _Counter(self._reporter, parts)
        shared = SharedQueue(queue, self._store, self.claims, self._stop, counter.part, say)
        drive.drive(shared, self._running.get(), counter.part, counter.failure)


def _index(dag: Dag, store: Store, sharing: _Sharing, reporter: Reporter) -> list[tuple[str, str]]:
    """Lists the new files; returns (uri, path) of those that are not listed all the same."""
    listing, images = dag.nodes["listing"], dag.nodes["images"]
    found = index.find(dag)
    ignored = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.ignored.items()))
    reporter.say(
        f"{len(found.files)} image files under {dag.corpus.root}"
        + (f" (other files there, not read: {ignored})" if ignored else "")
    )
    if odd := index.misfits(dag, found):
        layout = dag.corpus.layout
        reporter.say(f"{odd} paths do not fit the layout {layout}: their labels are null")
    complete = len(store.current(images, images)) == len(store.parts(listing))
    new = index.new_files(dag, store, found)
    if complete and not new:
        return []
    for node in (listing, images):
        store.open_node(node, dag.name, dag.corpus.root)
    with ExitStack() as stack:  # one run at a time: the order of files decides about their parts
        for node in (listing, images):  # every run in this order
            if not stack.enter_context(sharing.claims.alone(node.folder, node.name)):
                return index.new_files(dag, store, found)  # another run is listing them
            sharing.claims.sweep(node.folder)
        queue = index.listing_queue(dag, store, index.new_files(dag, store, found))
        if queue.total and not sharing.stopping():
            sharing.drive(queue, {listing.name: (0, queue.total)})
        if not sharing.stopping():  # else parts are missing, and `images` is made in their order
            index.write_images(dag, store)
    return index.new_files(dag, store, found)


def _perturb(dag: Dag, store: Store, sharing: _Sharing, reporter: Reporter) -> None:
    """Makes the parts of `images` in the variants that the corpus asks for."""
    parts = variant_parts.wanted(dag, store)
    for variant in variant_parts.without_images(dag, parts):
        reporter.say(f"no image is there to be perturbed for corpus.variants, {variant}")
    lacking = variant_parts.missing(dag, store, parts)
    if not lacking or sharing.stopping():
        return
    queue = variant_parts.VariantQueue(dag, store, lacking)
    sharing.drive(queue, {dag.nodes["images"].name: (len(parts) - len(lacking), len(parts))})


def _compute(
    dag: Dag, store: Store, nodes: Sequence[Node], sharing: _Sharing, reporter: Reporter
) -> None:
    images = dag.nodes["images"]
    parts = [path.name for path in store.current(images, images, dag.corpus.tags)]
    wanted = [node for node in nodes if node in dag.computed]
    schedule = Schedule(store, wanted, parts, dag.nodes)
    if not any(schedule.missing(node) for node in wanted) or sharing.stopping():
        return
    for folder, node in {node.folder: node for node in wanted if schedule.missing(node)}.items():
        store.open_node(node, dag.name, dag.corpus.root)
        sharing.claims.sweep(folder)
    if sharing.claims.others():  # where others are at work, each begins at another place
        first = randrange(len(parts))  # noqa: S311 (no secret)
        parts = parts[first:] + parts[:first]
    schedule = Schedule(store, wanted, parts, dag.nodes)  # another run may have gone on
    if not any(schedule.missing(node) for node in wanted):
        return
    done = {node.name: len(parts) - schedule.missing(node) for node in wanted}
    sharing.drive(schedule, {name: (count, len(parts)) for name, count in done.items()})
    for node in wanted:
        if not sharing.stopping() and (waits_for := schedule.waits_for(node)):
            reporter.say(f"{node.name} waits for parts of {', '.join(waits_for)}")


class _Counter:
    """Counts parts for the reporter."""

    def __init__(self, reporter: Reporter, nodes: dict[str, tuple[int, int]]):
        self._reporter = reporter
        self._done = {name: done for name, (done, _) in nodes.items()}
        self._total = {name: total for name, (_, total) in nodes.items()}
        for name, (done, total) in nodes.items():
            reporter.node(name, done, total)

    def part(self, done: Receipt) -> None:
        self._done[done.node] += 1
        self._reporter.part(done, self._done[done.node], self._total[done.node])

    def failure(self, node: str, part: str, why: str) -> None:
        self._reporter.say(f"{node}: {part} was not computed: {why}")


def totals(dag: Dag, store: Store, nodes: Sequence[Node]) -> list[NodeTotal]:
    """The committed rows of each node, from the parts' own metadata."""
    images = dag.nodes["images"]
    clean = len(store.current(images, images))
    in_variants = len(variant_parts.wanted(dag, store))
    out = []
    for node in nodes:
        listing = node.name == "listing"
        paths = store.parts(node) if listing else store.current(node, images, dag.corpus.tags)
        receipts = [receipt(store, node, path.name) for path in paths]
        out.append(
            NodeTotal(
                node.name,
                len(receipts),
                max(clean if listing else clean + in_variants, len(receipts)),
                sum(r.rows_in for r in receipts),
                sum(r.rows_in for r in receipts if part_tag(r.part)),
                sum(r.rows_ok for r in receipts),
                sum(r.rows_failed for r in receipts),
                sum(r.seconds_read + r.seconds_infer + r.seconds_write for r in receipts),
                sum(r.size for r in receipts),
                differences(r.libraries for r in receipts),
            )
        )
    return out
