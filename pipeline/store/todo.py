"""Which parts are current: there, and made from what their inputs hold now.

A part's footer names the commits of the parts that it was made from; a commit stands for the rows
of a part. What is computed anew with the same rows leaves everything that depends on it as it is.
The images are no such input: whatever bears their ids has their content.
"""

from collections.abc import Mapping, Sequence
from json import loads

from pipeline.dag.graph import Node
from pipeline.store.parts import Store


def inputs_of(node: Node) -> dict[str, str]:
    """Input -> node, of the inputs whose rows decide about a part's."""
    return {input_: name for input_, name in node.inputs.items() if input_ not in _GIVEN}


_GIVEN = ("listing", "images")  # rows of these follow from the files, or are named by content


def current_parts(store: Store, nodes: Sequence[Node]) -> dict[str, set[str]]:
    """Of each node (all of a DAG, in topological order) the names of the parts that are current.

    A part of which an input is missing, or not current itself, is not. Reads footers only. Raises
    UserError for one that is damaged.
    """
    commits: dict[str, dict[str, str]] = {}
    for node in nodes:
        facts = {path.name: store.facts(path) for path in store.parts(node)}
        inputs = inputs_of(node)
        commits[node.name] = {
            part: known["commit"]
            for part, known in facts.items()
            if _made_from(known) == {i: commits[name].get(part) for i, name in inputs.items()}
        }
    return {name: set(parts) for name, parts in commits.items()}


def is_current(store: Store, node: Node, part: str, folders: Mapping[str, str]) -> bool:
    """Whether a part is current; `folders` of the store, by the names of the nodes it needs."""
    if not store.has(node, part):
        return False
    now = {input_: store.commit(folders[name], part) for input_, name in inputs_of(node).items()}
    return _made_from(store.facts(store.folder(node) / part)) == now


def _made_from(facts: Mapping[str, str]) -> dict[str, str]:
    return loads(facts.get("inputs", "{}"))
