"""Models that are not on this machine: known by what a store has that was made with them.

So a store can be asked, and heads trained on it, where its models are not. Nothing is computed of
images by a DAG that was read so.
"""

from collections.abc import Callable, Mapping, Sequence
from json import dumps
from pathlib import Path, PurePath
from typing import Any

from pipeline.spec import Parameters, Stage

Recipes = Callable[[str], Sequence[Mapping[str, Any]]]  # of a stage: `Store.recipes`


def called(stage: Stage, parameters: Parameters) -> list[str]:
    """What a node's models are called wherever they lie: names, and the ends of paths."""
    return [_name(spec) for spec in stage.models(parameters)]


def _name(spec: Any) -> str:
    return ":".join(PurePath(one).name for one in _given(spec))


def _given(spec: Any) -> list[str]:
    given = (getattr(spec, field, None) for field in ("model", "pretrained", "file"))
    return [one for one in given if one]


def _is_here(spec: Any) -> bool:
    """Whether there is a folder or file of the model, whatever may be wrong with it."""
    return any(Path(one.removeprefix("local-dir:")).exists() for one in _given(spec))


def identities(
    stage: Stage, parameters: Parameters, recipe: Mapping[str, Any], recipes: Recipes
) -> list[dict[str, Any]] | None:
    """The identities of a node's models, by the recipes of a store.

    `recipe` has all of the node's but its models. Those count that say the same, and of models that
    are called the same. None where there is none, or where there are several; nor where what is
    wrong is that a model's files are here and cannot be used.
    """
    if all(map(_is_here, stage.models(parameters))):
        return None
    names, found = called(stage, parameters), {}
    for one in recipes(stage.name):
        if one.get("called") == names and _says(one, recipe):
            found[dumps(one["models"], sort_keys=True)] = one["models"]
    return next(iter(found.values())) if len(found) == 1 else None


def _says(one: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    same = {key: one.get(key) for key in recipe}
    return dumps(same, sort_keys=True) == dumps(recipe, sort_keys=True)
