"""What of a DAG is not computed yet: parts that `images` has and another node lacks.

And the parts of `images` in the variants that the corpus asks for.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store


@dataclass(frozen=True)
class Gap:
    """A node that lacks `parts` of `of_parts` parts, which have `images` of `of_images` images."""

    node: str
    parts: int
    of_parts: int
    images: int
    of_images: int

    def __str__(self) -> str:
        return (
            f"{self.node} is not complete: {self.parts:,} of {self.of_parts:,} parts "
            f"({self.images:,} of {self.of_images:,} images) are missing"
        )


def gaps(graph: "Dag", cache: "Store") -> list[Gap]:
    """The nodes that lack parts, in the DAG's order.

    Opens no part of a store that is complete, unless the corpus has variants.
    """
    images = graph.nodes["images"]
    parts = {path.name: path for path in cache.current(images, images, graph.corpus.tags)}
    lacking = {}
    perturbed = lacking_variants(graph, cache)
    if perturbed:
        lacking[images.name] = set(perturbed)
    for node in graph.computed:
        there = {path.name for path in cache.parts(node)}
        if missing := parts.keys() - there:
            lacking[node.name] = missing
    if not lacking:
        return []
    rows = {name: int(cache.facts(path)["rows_in"]) for name, path in parts.items()}
    total = sum(rows.values())
    found = []
    for node, missing in lacking.items():
        beyond = perturbed if node == images.name else {}
        known = rows | beyond
        lost = sum(known[name] for name in missing)
        of_images = total + sum(beyond.values())
        found.append(Gap(node, len(missing), len(parts) + len(beyond), lost, of_images))
    return found


def lacking_variants(graph: "Dag", cache: "Store") -> dict[str, int]:
    """The parts in variants that `images` lacks, by name, each with its number of images."""
    if not graph.corpus.tags:
        return {}
    from pipeline.engine.queues import variant_parts

    wanted = variant_parts.wanted(graph, cache)
    return {part.name: len(part.ids) for part in variant_parts.missing(graph, cache, wanted)}
