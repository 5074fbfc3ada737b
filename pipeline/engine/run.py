"""The run: index the corpus, compute every missing part, say what came of it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pipeline.dag import Dag, Node
from pipeline.engine import drive, executors, index, variant_parts
from pipeline.engine.health.watch import DEFAULT_STALL
from pipeline.engine.progress import Reporter
from pipeline.engine.schedule import Schedule
from pipeline.engine.task import Receipt, receipt
from pipeline.store import Store, part_tag


@dataclass(frozen=True)
class Options:
    """How to run: `inline`, on a `scheduler`, or on the DAG's cluster.

    `workers`: processes of a local cluster; None: as the DAG says. What is silent for `stall`
    seconds is ended and tried again (None: nothing is).
    """

    inline: bool = False
    scheduler: str | None = None
    workers: int | None = None
    stall: float | None = DEFAULT_STALL


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


def run(
    dag: Dag, store: Store, nodes: Sequence[Node], options: Options, reporter: Reporter
) -> list[NodeTotal]:
    """Computes what is missing of `nodes` (in topological order); returns the totals of each.

    Raises UserError for what the user can mend; KeyboardInterrupt passes through. Whatever was
    committed before either stays.
    """
    store.create()
    with ExitStack() as stack:
        running = _Lazy(stack, dag, nodes, options, reporter)
        _index(dag, store, running, reporter)
        _compute(dag, store, nodes, running, reporter)
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


def _index(dag: Dag, store: Store, running: _Lazy, reporter: Reporter) -> None:
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
    if not complete or index.new_files(dag, store, found):
        for node in (listing, images):
            store.open_node(node, dag.name, dag.corpus.root)
        with store.writing(listing, reporter.say), store.writing(images, reporter.say):
            queue = index.listing_queue(dag, store, index.new_files(dag, store, found))
            if queue.total:
                counter = _Counter(reporter, {listing.name: (0, queue.total)})
                drive.drive(queue, running.get(), counter.part, counter.failure)
            index.write_images(dag, store)
    _perturb(dag, store, running, reporter)


def _perturb(dag: Dag, store: Store, running: _Lazy, reporter: Reporter) -> None:
    """Makes the parts of `images` in the variants that the corpus asks for."""
    images = dag.nodes["images"]
    parts = variant_parts.wanted(dag, store)
    for variant in variant_parts.without_images(dag, parts):
        reporter.say(f"no image is there to be perturbed for corpus.variants, {variant}")
    if not variant_parts.missing(dag, store, parts):
        return
    with store.writing(images, reporter.say):
        lacking = variant_parts.missing(dag, store, parts)  # another run may have gone on
        counter = _Counter(reporter, {images.name: (len(parts) - len(lacking), len(parts))})
        queue = variant_parts.VariantQueue(dag, store, lacking)
        drive.drive(queue, running.get(), counter.part, counter.failure)


def _compute(
    dag: Dag, store: Store, nodes: Sequence[Node], running: _Lazy, reporter: Reporter
) -> None:
    images = dag.nodes["images"]
    parts = [path.name for path in store.current(images, images, dag.corpus.tags)]
    wanted = [node for node in nodes if node in dag.computed]
    schedule = Schedule(store, wanted, parts, dag.nodes)
    if not any(schedule.missing(node) for node in wanted):
        return
    with ExitStack() as locks:
        # nodes with one recipe share a folder, and every run takes the locks in the same order
        folders = {node.folder: node for node in wanted if schedule.missing(node)}
        for _, node in sorted(folders.items()):
            store.open_node(node, dag.name, dag.corpus.root)
            locks.enter_context(store.writing(node, reporter.say))
        schedule = Schedule(store, wanted, parts, dag.nodes)  # another run may have gone on
        if not any(schedule.missing(node) for node in wanted):
            return
        done = {node.name: len(parts) - schedule.missing(node) for node in wanted}
        counter = _Counter(reporter, {name: (count, len(parts)) for name, count in done.items()})
        drive.drive(schedule, running.get(), counter.part, counter.failure)
        for node in wanted:
            if waits_for := schedule.waits_for(node):
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
            )
        )
    return out
