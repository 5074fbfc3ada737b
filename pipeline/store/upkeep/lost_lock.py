"""The lock that went missing: a cache made with locked revisions is not silently made anew."""

from collections.abc import Mapping
from typing import Any

from pipeline.dag.graph import Dag, Node
from pipeline.errors import UserError
from pipeline.store.parts import Store


def check(dag: Dag, store: Store) -> None:
    """UserError when the store has a node by a locked revision of a model that nothing pins now.

    Its fingerprint would be another one, and all its parts would be computed, or not found. A node
    that has parts under its unpinned fingerprint is left alone.
    """
    for node in dag.computed:
        loose = [model for model in node.recipe["models"] if _loose(model)]
        if not loose or store.parts(node):
            continue
        for recipe in store.recipes(node.stage.name):
            for old in recipe.get("models") or []:
                if old.get("revision") and _name(old) in [_name(model) for model in loose]:
                    raise _lost(dag, node, old)


def _loose(model: Mapping[str, Any]) -> bool:
    return ("hub" in model or "open_clip" in model) and not model.get("revision")


def _name(model: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(model.get(key) for key in ("hub", "open_clip", "pretrained"))


def _lost(dag: Dag, node: Node, old: Mapping[str, Any]) -> UserError:
    name = old.get("hub") or f"{old.get('open_clip')}:{old.get('pretrained')}"
    return UserError(
        f"the store has '{node.name}' by revision {old['revision'][:12]} of {name}, "
        "and nothing names a revision now",
        f"there is no lock at {dag.lock.path}"
        if not dag.lock.models
        else f"{dag.lock.path} does not name {name}",
        "go where the lock is, or --set lock=PATH; `item models fetch DAG` writes it again "
        "(the revision that this machine's cache has)",
    )
