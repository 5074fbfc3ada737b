"""The files of a corpus that are to be described: one task for each run of `part_size` of them."""

from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.corpus.files import Found, list_files
from pipeline.corpus.layouts.registry import count_misfits
from pipeline.dag.graph import Dag
from pipeline.engine.task import Room, Task, always
from pipeline.store.parts import Store, free_numbers, part_name


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


def find(dag: Dag) -> Found:
    """The files of the corpus, as its root has them now. Raises UserError."""
    return list_files(dag.corpus.root)


def misfits(dag: Dag, found: Found) -> int:
    """How many paths do not fit the layout (their labels are null); UserError when none fits."""
    return count_misfits(dag.corpus.layout, found.files["path"].to_pylist())


def listing_queue(dag: Dag, store: Store, files: pa.Table) -> ListingQueue:
    """The tasks for these files (schema `corpus.files.FILES`), with part numbers that are free.

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
