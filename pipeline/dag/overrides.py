"""`--set key.path=value`: what was typed, put into a DAG file's mapping as its key has it.

A key that holds a text or a path takes the value as it is: `#`, `:`, quotes and numbers are part of
it. All other values are YAML, and so is what begins a mapping where that is allowed. Paths are
relative to the current folder.
"""

from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from pipeline.dag.cluster import KINDS
from pipeline.errors import UserError, nearest
from pipeline.spec import TypedPath
from pipeline.stages.registry import BY_TABLE, MODULES, for_table, get_stage

_NOTHING = "null"  # of a text that need not be there


def override(raw: dict[str, Any], text: str, model: type[BaseModel]) -> None:
    """Puts `key.path=value` into `raw`, the mapping of a DAG file, which is to be a `model`.

    UserError for another form, an unknown node or section, and a value that is no YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--set {text}: expected key.path=value", hint="e.g. captions.num_beams=1")
    steps = key.split(".")
    if steps[0] == "nodes":
        steps = steps[1:] or [""]
    sections = [name for name in model.model_fields if name != "nodes"]
    if steps[0] in sections:
        target: Any = raw
    elif steps[0] in raw["nodes"]:
        target = raw["nodes"]
    else:
        known = [*sections, *raw["nodes"]]
        raise UserError(f"--set {text}: there is no '{steps[0]}'", hint=nearest(steps[0], known))
    kind = _kind_of(raw, steps, model)
    for step in steps[:-1]:
        target = target.setdefault(step, {})
        if not isinstance(target, dict):
            raise UserError(f"--set {text}: '{step}' is a value, not a mapping")
    found = _value(kind, value, text)
    if steps == ["cluster"] and isinstance(found, dict):
        kind = KINDS.get(found.get("kind", "local"))
    target[steps[-1]] = _from_here(kind, found)


def _kind_of(raw: dict[str, Any], steps: list[str], model: type[BaseModel]) -> Any:
    """The declared type of a key; None where it has none."""
    if steps[0] == "cluster":
        given = raw.get("cluster")
        kind = given.get("kind", "local") if isinstance(given, dict) else "local"
        return _inside(KINDS.get(kind), steps[1:])
    if steps[0] in model.model_fields:
        return _inside(model, steps)
    if steps[1:] and steps[1] == "stage":
        return str
    return _inside(_parameters(raw["nodes"][steps[0]]), steps[1:])


def _parameters(node: Any) -> Any:
    """The parameters of a node's stage; None where it names none."""
    name = node.get("stage") if isinstance(node, dict) else None
    if name in BY_TABLE:
        table = str(node.get("table", next(iter(BY_TABLE[name]))))
        name = for_table(name, table) if table in BY_TABLE[name] else None
    return get_stage(name).parameters if name in MODULES else None


def _inside(kind: Any, steps: list[str]) -> Any:
    if not steps or kind is None:
        return kind
    for one in _alternatives(kind):
        if isinstance(one, type) and issubclass(one, BaseModel) and steps[0] in one.model_fields:
            return _inside(_declared(one, steps[0]), steps[1:])
        if get_origin(one) is dict:
            return _inside(get_args(one)[1], steps[1:])
    return None


def _declared(model: type[BaseModel], name: str) -> Any:
    """A field's type, with what is said beside it."""
    field = model.model_fields[name]
    kind: Any = field.annotation
    for said in field.metadata:
        kind = Annotated[kind, said]
    return kind


def _alternatives(kind: Any) -> list[Any]:
    """A type's alternatives, without what is said beside them."""
    if get_origin(kind) is Annotated:
        return _alternatives(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [one for some in get_args(kind) for one in _alternatives(some)]
    return [kind]


def _is_text(kind: Any) -> bool:
    words = get_origin(kind) is Literal and all(isinstance(word, str) for word in get_args(kind))
    return kind is str or words


def _value(kind: Any, value: str, text: str) -> Any:
    kinds = [] if kind is None else _alternatives(kind)
    others = [one for one in kinds if one is not NoneType and not _is_text(one)]
    if value == _NOTHING and NoneType in kinds:
        return None
    if kinds and not others:
        return value
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError as error:
        if any(map(_is_text, kinds)):
            return value
        raise UserError(f"--set {text}: the value is not valid YAML: {error}") from None
    if str not in kinds:
        return found
    # where a text may stand in the place of something else, only what looks like that is no text
    mapped = isinstance(found, dict | list) and value.lstrip()[:1] in ("{", "[")
    return found if mapped or type(found) in others else value


def _from_here(kind: Any, value: Any) -> Any:
    """`value` with the paths in it made absolute: typed, they are relative to this folder."""
    if isinstance(value, list):
        return [_from_here(kind, one) for one in value]
    if isinstance(value, dict):
        models = [one for one in _alternatives(kind) if isinstance(one, type)]
        model = next((one for one in models if issubclass(one, BaseModel)), _parameters(value))
        inner = next((get_args(k)[1] for k in _alternatives(kind) if get_origin(k) is dict), None)
        known = model.model_fields if model else {}
        return {
            name: _from_here(_declared(model, name) if name in known else inner, one)
            for name, one in value.items()
        }
    said = _typed_path(kind)
    if said is None or not isinstance(value, str) or "://" in value:
        return value
    path = value.removeprefix("local-dir:")
    if said.bare or value != path or path.startswith(("./", "../", "~")):
        return value[: len(value) - len(path)] + str(Path(path).expanduser().resolve())
    return value


def _typed_path(kind: Any) -> TypedPath | None:
    """What a type says of paths, at any of its alternatives."""
    if get_origin(kind) is Annotated:
        inner, *said = get_args(kind)
        return next((one for one in said if isinstance(one, TypedPath)), _typed_path(inner))
    if get_origin(kind) in (Union, UnionType, tuple):
        return next(filter(None, map(_typed_path, get_args(kind))), None)
    return None
