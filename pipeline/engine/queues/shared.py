"""A queue whose tasks many runs may want: each is claimed before it is handed out.

So many runs share one node's work, and compute nothing twice. A task whose part another run has
claimed is put aside and looked at again later: then it is done, or free, or that run is dead.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, sleep

from pipeline.engine.drive import Queue
from pipeline.engine.stop import Stop
from pipeline.engine.task import Receipt, Room, Task, always, receipt
from pipeline.store.parts import Store
from pipeline.store.sharing.claims import AGAIN, REPEAT, Claims, Holder
from pipeline.store.todo import is_current


class SharedQueue:
    """The tasks of `queue`, claimed one by one as they are handed out, until `stop` is asked.

    `on_part` gets the receipts of parts that other runs have committed meanwhile; `say` a line when
    there is nothing to do but to wait for them.
    """

    def __init__(
        self,
        queue: Queue,
        store: Store,
        claims: Claims,
        stop: Stop,
        on_part: Callable[[Receipt], None],
        say: Callable[[str], None],
    ):
        self._queue, self._store, self._claims, self._stop = queue, store, claims, stop
        self._on_part, self._say = on_part, say
        self._aside: deque[tuple[float, Task, Holder]] = deque()  # by when to look again
        self._told: dict[str, float] = {}

    def pop(self, has_room: Room = always) -> Task | None:
        """The next task that there is room for, claimed.

        None while there is none to be had, or nothing is to begin.
        """
        while not self._stop.asked():
            task = self._queue.pop(has_room) or self._due(has_room)
            if task is None:
                return None
            if self._committed(task):
                continue
            holder = self._claims.take(_folders(task), task.part)
            if holder is not None:
                self._aside.append((monotonic() + AGAIN, task, holder))
            elif self._committed(task):  # between the look and the claim
                self.settled(task)
            else:
                return replace(task, run=self._claims.id)
        return None

    def finish(self, node: str, part: str) -> None:
        """Marks a node's part as committed, which may make others ready."""
        self._queue.finish(node, part)

    def settled(self, task: Task) -> None:
        """Gives the claims of a task back, however it went."""
        self._claims.release(_folders(task), task.part)

    def wait(self) -> bool:
        """Waits a second for other runs, and says for whom. False when there is none to wait for.

        To be called when nothing is in flight and `pop` has nothing.
        """
        if self._stop.asked() or not self._aside:
            return False
        counts = Counter((task.nodes[0].name, holder) for _, task, holder in self._aside)
        for (node, holder), count in counts.items():
            if holder.id and monotonic() - self._told.get(f"{node} {holder.id}", -REPEAT) >= REPEAT:
                self._told[f"{node} {holder.id}"] = monotonic()
                parts = "a part is" if count == 1 else f"{count} parts are"
                self._say(f"{node}: {parts} being computed by {holder.who}: waiting for it")
        sleep(AGAIN)
        return True

    def _due(self, has_room: Room) -> Task | None:
        """A task that was put aside long enough ago."""
        first = self._aside[0] if self._aside else None
        if first and first[0] <= monotonic() and has_room(first[1].nodes):
            return self._aside.popleft()[1]
        return None

    def _committed(self, task: Task) -> bool:
        """Whether other runs have brought all of a task's parts up to date: then it is done."""
        if task.asked is None:
            done = [self._store.has(node, task.part) for node in task.nodes]
        else:
            done = [is_current(self._store, n, task.asked, task.folders) for n in task.nodes]
        if not all(done):
            return False
        for node in task.nodes:
            self._queue.finish(node.name, task.part)
            self._on_part(receipt(self._store, node, task.part))
        return True


def _folders(task: Task) -> list[str]:
    return [node.folder for node in task.nodes]
