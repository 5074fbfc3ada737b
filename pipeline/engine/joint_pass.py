"""Several nodes over one part in a joint pass, so that no image is decoded twice.

The part's images are taken slice by slice, as many as fit into memory decoded; all nodes run on one
slice, sharing its pixels, before the next is opened. A stage gives the same rows for any subset of
the images, so that the slices' tables, put together, are the table of the part.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from time import perf_counter

import numpy as np
import pyarrow as pa

from pipeline.corpus.decode import sharing
from pipeline.dag.graph import Node
from pipeline.engine import poison

# Pixels of one slice's images, all of them kept decoded: 512 MiB, Pillow's RGB takes four bytes.
SLICE_PIXELS = 2**27


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


def run(
    nodes: Sequence[Node],
    tables: Mapping[str, pa.Table],
    compute: Callable[[Node, Mapping[str, pa.Table]], pa.Table],
) -> dict[str, tuple[pa.Table, float]]:
    """(table, seconds) of each node, by name.

    `tables` are the part's tables of all nodes outside, by node name, with the `images` table among
    them under the name that the nodes know it by. `compute(node, inputs)` runs a stage.
    """
    pieces: dict[str, list[pa.Table]] = {node.name: [] for node in nodes}
    seconds = dict.fromkeys(pieces, 0.0)
    for keys in _slices(tables[_images(nodes)]):
        known = dict(poison.restrict(tables, "image_id", keys))
        with sharing():
            for node in nodes:
                started = perf_counter()
                inputs = {input_: known[name] for input_, name in node.inputs.items()}
                known[node.name] = compute(node, inputs)
                pieces[node.name].append(known[node.name])
                seconds[node.name] += perf_counter() - started
    return {name: (pa.concat_tables(some), seconds[name]) for name, some in pieces.items()}


def _images(nodes: Sequence[Node]) -> str:
    return next(node.inputs["images"] for node in nodes if "images" in node.inputs)


def _slices(images: pa.Table) -> Iterator[Collection[str]]:
    """Consecutive runs of image ids whose images have at most SLICE_PIXELS together."""
    sizes = [images[name].to_numpy(zero_copy_only=False) for name in ("width", "height")]
    pixels = np.nan_to_num(np.float64(sizes[0]) * np.float64(sizes[1]))
    ids = images["image_id"].to_pylist()
    start, total = 0, 0.0
    for row, here in enumerate(pixels.tolist()):
        if row > start and total + here > SLICE_PIXELS:
            yield ids[start:row]
            start, total = row, 0.0
        total += here
    yield ids[start:]
