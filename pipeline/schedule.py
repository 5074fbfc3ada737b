"""What is to do and in which order: (node, part) tasks that become ready as their inputs commit."""

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

from pipeline.dag import Node
from pipeline.store import Store
from pipeline.task import Task


class Schedule:
    """Hands out the missing tasks of some nodes, earlier nodes and parts first.

    The store is the truth: a part that is committed is done, whoever computed it. A task whose
    upstream part failed, or is missing from a node that is not among `nodes`, never becomes ready.
    """

    def __init__(
        self,
        store: Store,
        nodes: Sequence[Node],
        parts: Sequence[str],
        dag_nodes: Mapping[str, Node],
    ):
        self._store = store
        self._nodes = list(nodes)
        self._parts = list(parts)
        self._number = {part: number for number, part in enumerate(self._parts)}
        self._names = dag_nodes
        self._rank = {node.name: rank for rank, node in enumerate(self._nodes)}
        self._committed: dict[str, set[str]] = {}
        for node in dag_nodes.values():
            self._committed[node.name] = {path.name for path in store.parts(node)}
        self._ready: list[tuple[int, int]] = []
        self._queued: set[tuple[int, int]] = set()
        for rank, node in enumerate(self._nodes):
            for number, part in enumerate(self._parts):
                if part not in self._committed[node.name]:
                    self._offer(rank, number)

    def missing(self, node: Node) -> int:
        """How many parts of `node` are not committed yet."""
        return sum(part not in self._committed[node.name] for part in self._parts)

    def waits_for(self, node: Node) -> list[str]:
        """The inputs of `node` that lack parts which `node` lacks too."""
        missing = set(self._parts) - self._committed[node.name]
        return [up for up in node.inputs.values() if missing - self._committed[up]]

    def pop(self) -> Task | None:
        """The next ready task, or None while nothing is ready."""
        if not self._ready:
            return None
        rank, number = heappop(self._ready)
        node = self._nodes[rank]
        sources = tuple((name, self._names[up].folder) for name, up in node.inputs.items())
        return Task(self._store.root, node, self._parts[number], sources)

    def finish(self, task: Task) -> None:
        """Marks a task as committed, which may make others ready."""
        self._committed[task.node.name].add(task.part)
        number = self._number[task.part]
        for rank, node in enumerate(self._nodes):
            if task.node.name in node.inputs.values():
                self._offer(rank, number)

    def _offer(self, rank: int, number: int) -> None:
        node, part = self._nodes[rank], self._parts[number]
        if (rank, number) in self._queued or part in self._committed[node.name]:
            return
        if all(part in self._committed[source] for source in node.inputs.values()):
            self._queued.add((rank, number))
            heappush(self._ready, (rank, number))
