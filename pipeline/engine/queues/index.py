"""Keeping `listing` and `images` up to date with the corpus: new files become new parts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import pyarrow as pa

from pipeline.corpus.files import Found, list_files
from pipeline.corpus.layouts import count_misfits
from pipeline.dag.graph import Dag
from pipeline.engine.task import Room, Task, always
from pipeline.errors import UserError
from pipeline.stages.images import first_occurrences
from pipeline.store.parts import Store, part_name, part_number


@dataclass
class ListingQueue:
    """The tasks that index the new files of a corpus."""

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
    return count_misfits(dag.corpus.layout, [file.path for file in found.files])


def new_files(dag: Dag, store: Store, found: Found) -> list[tuple[str, str]]:
    """(uri, path) of the files that no committed listing part has, in order, within the limit."""
    known = set(known_uris(dag, store))
    files = [(file.uri, file.path) for file in found.files]
    if dag.corpus.limit is not None:
        files = sampled(files, dag.corpus.limit)
        room = max(0, dag.corpus.limit - len(known))
        return [file for file in files if file[0] not in known][:room]
    return [file for file in files if file[0] not in known]


def known_uris(dag: Dag, store: Store) -> Iterator[str]:
    """The URIs of all committed listing parts."""
    node = dag.nodes["listing"]
    for path in store.parts(node):
        yield from store.read(node.folder, path.name, ["uri"])["uri"].to_pylist()


def sampled(files: list[tuple[str, str]], limit: int) -> list[tuple[str, str]]:
    """`limit` of the files, evenly spaced, so that a small sample has every folder in it."""
    count = min(limit, len(files))
    return [files[i * len(files) // count] for i in range(count)]


def listing_queue(dag: Dag, store: Store, files: list[tuple[str, str]]) -> ListingQueue:
    """One task for each run of `part_size` new files, with the lowest part numbers that are free.

    A run that was killed leaves gaps where it had not committed yet: filling these first makes the
    same parts as if it had never been disturbed.
    """
    node, size = dag.nodes["listing"], dag.corpus.part_size
    taken = {part_number(path.name) for path in store.parts(node)}
    free = (number for number in count() if number not in taken)
    tasks = []
    for offset in range(0, len(files), size):
        uris, paths = zip(*files[offset : offset + size], strict=True)
        table = pa.table({"uri": pa.array(uris, pa.string()), "path": pa.array(paths, pa.string())})
        name = part_name(next(free), list(uris))
        tasks.append(Task(store.root, (node,), name, files=table))
    return ListingQueue(tasks)


def write_images(dag: Dag, store: Store) -> None:
    """Writes the clean `images` part of each listing part: the contents not seen before it.

    Sequential, since the first of several identical files decides; no image is read. UserError when
    the store holds another `images` part of the same number, which only happens when somebody
    removed listing parts by hand.
    """
    listing, images = dag.nodes["listing"], dag.nodes["images"]
    there = {part_number(path.name): path for path in store.current(images, images)}
    seen: set[str] = set()
    for path in there.values():
        seen.update(store.read(images.folder, path.name, ["image_id"])["image_id"].to_pylist())
    for path in store.parts(listing):
        number = part_number(path.name)
        if number in there:
            continue
        table = first_occurrences(store.read(listing.folder, path.name), seen)
        ids = table["image_id"].to_pylist()
        seen.update(ids)
        failed = table["error"].length() - table["error"].null_count
        facts = {
            "node": images.name,
            "rows_in": len(ids),
            "rows_ok": len(ids) - failed,
            "rows_failed": failed,
            "seconds_read": 0,
            "seconds_infer": 0,
        }
        store.write(images.folder, part_name(number, ids), table, facts)
    _check_complete(store, dag)


def _check_complete(store: Store, dag: Dag) -> None:
    images = dag.nodes["images"]
    listed = {part_number(path.name) for path in store.parts(dag.nodes["listing"])}
    made = {part_number(path.name) for path in store.current(images, images)}
    if made - listed:
        raise UserError(
            f"images has parts {sorted(made - listed)[:5]} that the listing lacks",
            str(store.folder(dag.nodes["listing"])),
            "listing parts were removed by hand: give another --store, or remove "
            f"{store.folder(images)} too",
        )
