"""Models that come with `item`, and what they do not know."""

from collections.abc import Iterable

from pipeline.dag.graph import Node
from pipeline.shipped import folder


def note(nodes: Iterable[Node], places: Iterable[str]) -> str | None:
    """What to know of figures by bundled models of images that are not bundled; None of others.

    `places`: where images lie, files or the root of a corpus. The bundled parser is left out: it
    knows English, whatever it is about.
    """
    data = f"{folder('data').resolve()}/"
    known = (node for node in nodes if node.stage.name != "parse")
    toys = any(data in node.parameters.model_dump_json() for node in known)
    if not toys or all(f"{place}/".startswith(data) for place in places):
        return None
    return (
        "the models that come with item know drawn scenes and no photographs: of other pictures "
        "captions, misalignment and verdicts by them mean little (`item init FOLDER --models "
        "public` names others)"
    )
