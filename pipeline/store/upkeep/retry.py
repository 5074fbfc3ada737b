"""Failed rows that are to be tried again: they are taken out, and the next run lacks them.

What failed only for now is tried again by every run. What is the content's own fault stays failed,
until somebody has mended what stood in its way: another version of a library, more memory.
"""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dag.graph import Dag, Node
from pipeline.errors import UserError
from pipeline.store.contents import Asked, asked
from pipeline.store.parts import Store, part_tag
from pipeline.store.register import write_left
from pipeline.store.todo import facts_of


def forget(dag: Dag, store: Store, nodes: Collection[Node], like: str) -> dict[str, int]:
    """Takes failed rows of what the corpus asks for out of these nodes; how many of each node.

    `like`: what their error is like, in SQL's way (`%` stands for anything). Images count where
    nodes have several rows of one. UserError while a run is computing one of the parts.
    """
    found = asked(dag, store)
    forgotten = {}
    with store.claiming() as claims:
        for node in nodes:
            count = 0
            for one in _listed(store, node) if node.name == "listing" else found:
                if node.name == "images" and not part_tag(one.part):
                    continue  # its rows follow from the listing's
                holder = claims.take([node.folder], one.part) if store.has(node, one.part) else None
                if holder is not None:
                    where = str(store.folder(node) / one.part)
                    raise UserError(f"this part is being written by {holder.who}", where, "later")
                count += _forget(store, node, one, like)
                claims.release([node.folder], one.part)
            forgotten[node.name] = count
    return forgotten


def _listed(store: Store, node: Node) -> list[Asked]:
    none = pa.array([], pa.string())
    return [Asked(path.name, "clean", none, none, 0) for path in store.parts(node)]


def _forget(store: Store, node: Node, one: Asked, like: str) -> int:
    """Takes the failed rows out of one part; returns of how many keys."""
    facts = facts_of(store, node, one.part)
    if facts is None or facts["rows_failed"] == "0":
        return 0
    key, table = node.stage.key, store.read(node.folder, one.part)
    failed = table.filter(pc.fill_null(pc.match_like(table["error"], like), False))[key]
    if key == "image_id":
        failed = failed.filter(pc.is_in(failed, value_set=one.ids))
    failed = pc.unique(failed)
    if not len(failed):
        return 0
    left = table.filter(pc.invert(pc.is_in(table[key], value_set=failed)))
    # that not all is known of its inputs makes the next run look at every row
    more = {} if node.name == "listing" else {"inputs": "{}"}
    write_left(store, node, one.part, left, **more)
    return len(failed)
