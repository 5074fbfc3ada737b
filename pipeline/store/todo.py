"""Which parts are current: there, and made from what their inputs hold now.

A part's footer names the commits of the parts that it was made from; a commit stands for the rows
of a part. What is computed anew with the same rows leaves everything that depends on it as it is.
The images are no such input: whatever bears their ids has their content.
"""

from collections.abc import Mapping, Sequence
from json import loads

from pipeline.dag.graph import Node
from pipeline.errors import UserError
from pipeline.store.parts import Store

_GIVEN = ("listing", "images")  # rows of these follow from the files, or are named by content


def inputs_of(node: Node) -> dict[str, str]:
    """Input -> node, of the inputs whose rows decide about a part's."""
    return {input_: name for input_, name in node.inputs.items() if input_ not in _GIVEN}


def current_parts(store: Store, nodes: Sequence[Node]) -> dict[str, set[str]]:
    """Of each node (all of a DAG, in topological order) the names of the parts that are current.

    A part of which an input is missing, or not current itself, is not. Reads footers only. Raises
    UserError for one that is damaged.
    """
    commits: dict[str, dict[str, str]] = {}
    for node in nodes:
        commits[node.name] = {
            part: facts["commit"]
            for part, facts in _facts(store, node).items()
            if _made_from(facts) == _now(node, part, commits)
        }
    return {name: set(parts) for name, parts in commits.items()}


def stale_parts(store: Store, nodes: Sequence[Node]) -> dict[str, set[str]]:
    """Of each node the parts that were made from other rows than their inputs hold now.

    Arguments and errors as of `current_parts`.
    """
    commits: dict[str, dict[str, str]] = {}
    stale: dict[str, set[str]] = {}
    for node in nodes:
        known = _facts(store, node)
        commits[node.name] = {part: facts["commit"] for part, facts in known.items()}
        stale[node.name] = {
            part
            for part, facts in known.items()
            if changed_inputs(facts, _now(node, part, commits))
        }
    return stale


def changed_inputs(facts: Mapping[str, str], now: Mapping[str, str | None]) -> list[str]:
    """The inputs of a part that have other rows by now.

    `facts`: the part's. `now`: input -> commit, None where it is missing, which says nothing.
    """
    made_from = _made_from(facts)
    return [input_ for input_, commit in now.items() if commit not in (None, made_from.get(input_))]


def check_not_stale(store: Store, nodes: Sequence[Node]) -> None:
    """UserError when parts were made from other rows than their inputs hold now."""
    stale = {name: parts for name, parts in stale_parts(store, nodes).items() if parts}
    if stale:
        counts = ", ".join(f"{len(parts):,} of {name}" for name, parts in stale.items())
        raise UserError(
            f"parts were made from other rows than their inputs hold now: {counts}",
            str(store.root),
            "run the DAG again: these parts are computed anew",
        )


def is_current(store: Store, node: Node, part: str, folders: Mapping[str, str]) -> bool:
    """Whether a part is current; `folders` of the store, by the names of the nodes it needs."""
    if not store.has(node, part):
        return False
    now = {input_: store.commit(folders[name], part) for input_, name in inputs_of(node).items()}
    return _made_from(store.facts(store.folder(node) / part)) == now


def _facts(store: Store, node: Node) -> dict[str, dict[str, str]]:
    return {path.name: store.facts(path) for path in store.parts(node)}


def _now(node: Node, part: str, commits: Mapping[str, Mapping[str, str]]) -> dict[str, str | None]:
    """The commit of each input's part; None where it is not there."""
    return {input_: commits[name].get(part) for input_, name in inputs_of(node).items()}


def _made_from(facts: Mapping[str, str]) -> dict[str, str]:
    return loads(facts.get("inputs", "{}"))
