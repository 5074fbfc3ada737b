"""What is to do and in which order: tasks that become ready as their inputs commit."""

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

from pipeline.dag.graph import Node
from pipeline.engine import joint_pass
from pipeline.engine.task import Room, Task, always
from pipeline.store.contents import Asked
from pipeline.store.parts import Store
from pipeline.store.todo import current_parts


class Schedule:
    """Hands out the missing tasks of some nodes, earlier nodes and parts first.

    Nodes that open images are handed out together (`pipeline.engine.joint_pass`), as far as a part
    lacks them. The store is the truth: a part that is current is done, whoever computed it. A
    task whose upstream part failed, or is missing from a node that is not among `nodes`, never
    becomes ready.
    """

    def __init__(
        self,
        store: Store,
        nodes: Sequence[Node],
        asked: Sequence[Asked],
        dag_nodes: Mapping[str, Node],
    ):
        self._store = store
        self._nodes = list(nodes)
        self._asked = {one.part: one for one in asked}
        self._parts = list(self._asked)
        self._number = {part: number for number, part in enumerate(self._parts)}
        self._names = dag_nodes
        self._units = joint_pass.group(self._nodes)
        self._committed = current_parts(store, list(dag_nodes.values()), asked)
        self._ready: list[list[int]] = [[] for _ in self._units]  # of each unit, numbers of parts
        self._queued: set[tuple[int, int]] = set()
        for rank in range(len(self._units)):
            for number in range(len(self._parts)):
                self._offer(rank, number)

    def missing(self, node: Node) -> int:
        """How many parts of `node` are not current."""
        return sum(part not in self._committed[node.name] for part in self._parts)

    def done(self, node: Node) -> set[str]:
        """The parts of `node` that are current."""
        return self._committed[node.name] & set(self._parts)

    def waits_for(self, node: Node) -> list[str]:
        """The inputs of `node` that lack parts which `node` lacks too."""
        missing = set(self._parts) - self._committed[node.name]
        return [up for up in node.inputs.values() if missing - self._committed[up]]

    def pop(self, has_room: Room = always) -> Task | None:
        """The next ready task that there is room for, or None while there is none.

        What waits for a GPU does not hold up what needs none.
        """
        for rank, numbers in enumerate(self._ready):
            if not numbers:
                continue
            part = self._parts[numbers[0]]
            nodes = self._lacking(rank, part)
            if has_room(nodes):
                heappop(numbers)
                needed = joint_pass.outside(nodes) | {"images"}
                sources = tuple((name, self._names[name].folder) for name in sorted(needed))
                asked, limits = self._asked[part], self._names["images"].parameters.limits
                return Task(self._store.root, nodes, part, sources, asked, limits=limits)
        return None

    def finish(self, node: str, part: str) -> None:
        """Marks a node's part as committed, which may make others ready."""
        self._committed[node].add(part)
        number = self._number[part]
        for rank, unit in enumerate(self._units):
            if any(node in other.inputs.values() for other in unit):
                self._offer(rank, number)

    def _lacking(self, rank: int, part: str) -> tuple[Node, ...]:
        unit = self._units[rank]
        return tuple(node for node in unit if part not in self._committed[node.name])

    def _offer(self, rank: int, number: int) -> None:
        part = self._parts[number]
        nodes = self._lacking(rank, part)
        if not nodes or (rank, number) in self._queued:
            return
        if all(part in self._committed[source] for source in joint_pass.outside(nodes)):
            self._queued.add((rank, number))
            heappush(self._ready[rank], number)
