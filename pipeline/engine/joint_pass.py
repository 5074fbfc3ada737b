"""Several nodes over one part in a joint pass, so that no image is decoded twice.

The part's images are taken slice by slice, as many as fit into memory decoded; all nodes run on one
slice, sharing its pixels, before the next is opened. A stage gives the same rows for any subset of
the images, so that the slices' tables, put together, are the table of the part.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dag.graph import Node
from pipeline.engine.machine import on_gpu

# Pixels of one slice's images, all of them kept decoded: 512 MiB, Pillow's RGB takes four bytes;
# beside a GPU 1.5 GiB in shared memory, since no batch can be larger than a slice.
SLICE_PIXELS = 2**27
SLICE_PIXELS_ON_GPU = 2**29


def group(nodes: Sequence[Node]) -> list[tuple[Node, ...]]:
    """`nodes` (in topological order) as units of work: those that open images make one unit.

    With them go the nodes between them, such as `parse` between `caption` and `ground`. A unit
    needs nothing that another unit makes of its own tables.
    """
    joint = {node.name for node in nodes if _opens_images(node)}
    between = {
        node.name
        for node in nodes
        if node.stage.key == "image_id" and _ancestors(node, nodes) & joint
        if any(node.name in _ancestors(other, nodes) for other in nodes if other.name in joint)
    }
    members: dict[str, Node] = {}
    for node in nodes:
        if node.name in joint | between:
            outside = set(node.inputs.values()) - set(members)
            by_name = {other.name: other for other in nodes}
            above = [by_name[name] for name in outside if name in by_name]
            if not any(_ancestors(one, nodes) & set(members) for one in above):
                members[node.name] = node
    if len(members) < 2:
        return [(node,) for node in nodes]
    units: list[tuple[Node, ...]] = [tuple(members.values())]
    units += [(node,) for node in nodes if node.name not in members]
    return units


def outside(nodes: Collection[Node]) -> set[str]:
    """The names of what `nodes` need beside each other."""
    return {name for node in nodes for name in node.inputs.values()} - {n.name for n in nodes}


def _opens_images(node: Node) -> bool:
    return "images" in node.stage.inputs and node.stage.key == "image_id"


def _ancestors(node: Node, nodes: Sequence[Node]) -> set[str]:
    """The names of the nodes among `nodes` that `node` needs, directly or not."""
    by_name = {other.name: other for other in nodes}
    found: set[str] = set()
    pending = list(node.inputs.values())
    while pending:
        name = pending.pop()
        if name in by_name and name not in found:
            found.add(name)
            pending += by_name[name].inputs.values()
    return found


def pixels(nodes: Sequence[Node]) -> int:
    """How many pixels the images of one slice may have together."""
    return SLICE_PIXELS_ON_GPU if on_gpu(nodes) else SLICE_PIXELS


def slices(
    keys: pa.Array, images: pa.Table | None, count: Callable[[], int], most_pixels: int
) -> Iterator[pa.Array]:
    """Consecutive runs of `keys`, of `count()` each at most, as it is when a run begins.

    Where `images` are given, theirs have at most `most_pixels` together.
    """
    areas = np.zeros(len(keys))
    if images is not None:
        rows = images.take(pc.index_in(keys, value_set=images["image_id"]))
        sizes = [rows[name].to_numpy(zero_copy_only=False) for name in ("width", "height")]
        areas = np.nan_to_num(np.float64(sizes[0]) * np.float64(sizes[1]))
    total = np.concatenate([[0], np.cumsum(areas)])
    start = 0
    while start < len(keys):
        fits = int(np.searchsorted(total, total[start] + most_pixels, "right")) - 1
        end = max(start + 1, min(fits, start + count()))
        yield keys[start:end]
        start = end
