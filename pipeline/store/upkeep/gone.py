"""Parts that a run had left and that are gone: somebody has deleted them, or a disk has.

A run leaves the names of the parts of its nodes beside the listing (`contents.remember`). Without
that nobody could tell a listing that lost a part from one of fewer files.
"""

from collections.abc import Collection

from pipeline.dag.graph import Dag, Node
from pipeline.errors import many
from pipeline.store.parts import Store

LEFT = "parts"  # in the answer beside the listing: node folder -> names of its parts


def left(dag: Dag, store: Store, asked: Collection[str]) -> dict[str, list[str]]:
    """The names to be left: of the listing's parts, and of those `asked` for of every other node.

    One of these that is gone stays among them until it is computed again: a run may be about other
    nodes. Those of other DAGs on this listing stay.
    """
    before = store.recall(dag.nodes["listing"]).get(LEFT, {})
    found = {folder: names for folder, names in before.items() if (store.root / folder).is_dir()}
    for name, node in dag.nodes.items():
        there = [path.name for path in store.parts(node)]
        if name != "listing":
            there = sorted({*there, *before.get(node.folder, ())} & {*asked})
        found[node.folder] = there
    return found


def forget(store: Store, listing: Node, name: str) -> None:
    """Says of a part of a listing that it is about to be removed for good."""
    answer = store.recall(listing)
    names = answer.get(LEFT, {}).get(listing.folder, [])
    if name in names:
        names.remove(name)
        store.remember(listing, answer)


def gone(dag: Dag, store: Store) -> list[tuple[Node, str]]:
    """(node, name) of the parts that a run had left and that are gone.

    Of nodes other than the listing only what another node of the DAG still has, and of none whose
    folder is gone: `item gc` removes from all nodes the parts that no listing asks for, and whole
    nodes.
    """
    known = store.recall(dag.nodes["listing"]).get(LEFT, {})
    there = {name: {path.name for path in store.parts(node)} for name, node in dag.nodes.items()}
    others = set[str]().union(*(names for node, names in there.items() if node != "listing"))
    found = []
    for name, node in dag.nodes.items():
        for part in known.get(node.folder, ()) if store.folder(node).is_dir() else ():
            if part not in there[name] and (name == "listing" or part in others):
                found.append((node, part))
    return found


def warning(dag: Dag, store: Store) -> str | None:
    """That the listing has lost parts, in a line; None where it has not."""
    node = dag.nodes["listing"]
    names = store.recall(node).get(LEFT, {}).get(node.folder, ())
    lost = sum(not store.has(node, name) for name in names)
    are = "is" if lost == 1 else "are"
    said = f"{many(lost, 'part')} of the listing {are} gone: `item run DAG` lists the files again"
    return said if lost else None
