"""The files of a corpus that are to be described: one task for each run of `part_size` of them."""

from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.corpus.layouts.roots import check_root
from pipeline.corpus.layouts.survey import Survey, survey_files
from pipeline.corpus.names import readable
from pipeline.corpus.sources.extent import all_here, bytes_of
from pipeline.corpus.sources.find import find_images
from pipeline.corpus.sources.found import Found
from pipeline.dag.graph import Dag
from pipeline.engine.task import Room, Task, always
from pipeline.errors import TRANSIENT, UserError
from pipeline.shipped import where_bundled
from pipeline.store.archive_index import ArchiveIndex
from pipeline.store.layout import is_auto
from pipeline.store.parts import Store, free_numbers, part_name

# What is described in this process, by bytes and files: what takes about as long as starting
# workers. Of what is not on this machine less: workers have connections of their own.
_HERE, _FILE = 2**33, 2**16
_FAR = 2**28


@dataclass
class ListingQueue:
    """The tasks that describe the new files of a corpus."""

    tasks: list[Task]
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = len(self.tasks)

    def pop(self, has_room: Room = always) -> Task | None:
        """The next task, if there is room; every one is ready from the start."""
        return self.tasks.pop(0) if self.tasks and has_room(self.tasks[0].nodes) else None

    def finish(self, node: str, part: str) -> None:
        """Nothing waits for a single listing part."""


def find(dag: Dag, store: Store, keep: bool = False) -> Found:
    """The files of the corpus, as its root has them now. Raises UserError.

    With `keep` the store keeps what archives hold, so that unchanged ones are not looked through.
    """
    index = ArchiveIndex(store, dag.nodes["listing"], keep)
    try:
        return find_images(dag.corpus.origin, index)
    except UserError as error:
        hint = f"{error.hint or 'correct corpus.root'}{where_bundled(dag.corpus.root)}"
        raise UserError(error.what, error.where, hint) from None


def surveyed(dag: Dag, found: Found) -> tuple[Survey, list[str]]:
    """(how the layout reads the corpus, warnings); UserError where the root is at a wrong level.

    The warnings: paths that do not fit, whose labels are null; a root that looks wrong.
    """
    whole = survey_files(dag.corpus.reading, found)
    warnings = check_root(whole, dag.corpus.root)
    if whole.misfits:
        layout = dag.corpus.layout
        warnings.append(
            f"{whole.misfits} paths do not fit the layout {layout}: their labels are null"
        )
    return whole, warnings


def label_lines(dag: Dag, whole: Survey) -> list[str]:
    """The mapping for people: of which folders say what; where that is recognised, ten examples."""
    if not is_auto(dag):
        return list(whole.lines())
    layout = dag.corpus.layout
    said = f"layout auto is {layout} (it stays so in this store; to state it: `layout: {layout}`)"
    return [f"{said}, by which for example", *whole.examples(), *whole.lines()]


def unlisted(found: Found) -> list[str]:
    """A warning of the folders that cannot be listed, if there are any."""
    if not len(found.unlisted):
        return []
    first = found.unlisted.select(["path", "problem"]).slice(0, 1).to_pylist()[0]
    more = f" and {len(found.unlisted) - 1:,} more" if len(found.unlisted) > 1 else ""
    return [
        f"cannot be listed: {readable(first['path'])} ({first['problem'].removeprefix(TRANSIENT)})"
        f"{more}, a failed row each; what may pass is tried again by the next run, and what is "
        "known of it stays"
    ]


def is_quick(files: pa.Table) -> bool:
    """Whether files (schema `sources.found.FILES`) are described before workers would have started.

    A file takes as long as reading and hashing 64 KiB, beside its bytes.
    """
    each = len(files) * _FILE
    if each > _HERE:
        return False
    return bytes_of(files) + each <= _HERE if all_here(files) else bytes_of(files) <= _FAR


def listing_queue(dag: Dag, store: Store, files: pa.Table) -> ListingQueue:
    """The tasks for these files (schema `sources.found.FILES`), with part numbers that are free.

    What a killed run had committed is listed, and no more among the files: so it loses what was
    under way.
    """
    node, size = dag.nodes["listing"], dag.corpus.part_size
    free = free_numbers(path.name for path in store.parts(node))
    tasks = []
    for offset in range(0, len(files), size):
        some = files.slice(offset, size).combine_chunks()
        name = part_name(next(free), some["uri"].to_pylist())
        tasks.append(Task(store.root, (node,), name, files=some))
    return ListingQueue(tasks)
