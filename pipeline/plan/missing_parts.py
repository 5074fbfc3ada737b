"""What of a DAG is not computed yet: rows that the corpus asks for and a node lacks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.store.contents import Share, asked, outline
from pipeline.store.todo import absent, facts_of

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag, Node
    from pipeline.store.parts import Store


@dataclass(frozen=True)
class Gap:
    """A node that lacks `images` of `of_images` images, in `parts` of `of_parts` parts."""

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
    """The nodes that lack rows of what the corpus asks for, in the DAG's order.

    Reads rows only of parts of which the corpus asks for some and not for others.
    """
    shares = outline(graph, cache)
    nodes = [node for node in graph.nodes.values() if node.name != "listing"]
    if all(_full(cache, node, share) for node in nodes for share in shares):
        return []
    found = asked(graph, cache)
    total = sum(len(one.ids) for one in found)
    gaps = []
    for node in nodes:
        lost = [len(absent(cache, node, one, facts_of(cache, node, one.part))) for one in found]
        if any(lost):
            parts = sum(map(bool, lost))
            gaps.append(Gap(node.name, parts, len(found), sum(lost), total))
    return gaps


def _full(cache: "Store", node: "Node", share: Share) -> bool:
    """Whether a part has all its members, by its footer; one of texts is there or not."""
    facts = facts_of(cache, node, share.part)
    if facts is None:
        return False
    return node.stage.key == "text_id" or int(facts["rows_in"]) == share.members


def lacking_variants(graph: "Dag", cache: "Store") -> dict[str, int]:
    """The parts in variants that `images` lacks, by name, each with its number of images."""
    if not graph.corpus.variants:
        return {}
    images = graph.nodes["images"]
    return {
        one.part: len(lost)
        for one in asked(graph, cache)
        if len(lost := absent(cache, images, one, facts_of(cache, images, one.part)))
    }
