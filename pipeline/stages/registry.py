"""Stages by name."""

import copyreg
from importlib import import_module
from typing import Any

from pipeline.errors import UserError, nearest
from pipeline.plugins import offered
from pipeline.spec import Stage

# stage name -> module; imported when asked for, so that the command line starts quickly
MODULES = {
    "listing": "pipeline.stages.listing",
    "images": "pipeline.stages.images",
    "caption": "pipeline.stages.caption",
    "provided": "pipeline.stages.provided",
    "provided_embeddings": "pipeline.stages.provided_embeddings",
    "parse": "pipeline.stages.parse",
    "ground": "pipeline.stages.ground",
    "embed_images": "pipeline.stages.embed_images",
    "embed_texts": "pipeline.stages.embed_texts",
    "embed_objects": "pipeline.stages.embed_objects",
    "misalign": "pipeline.stages.misalign",
    "features": "pipeline.stages.features",
}

# A stage makes one table. What a DAG file calls by one name, with `table:`, is a stage a table.
BY_TABLE = {"provided": {"captions": "provided", "image_embeddings": "provided_embeddings"}}


def for_table(name: str, table: str) -> str:
    """The stage that makes `table` where a DAG file says `name`; UserError for one of no stage."""
    made = BY_TABLE[name]
    if table not in made:
        raise UserError(f"'{name}' makes no table '{table}'", hint=nearest(table, made))
    return made[table]


def get_stage(name: str, place: str = "") -> Stage:
    """The stage called `name`, a plugin's of the file `place`, if any.

    UserError with the nearest known name.
    """
    if name in MODULES:
        return import_module(MODULES[name]).STAGE
    if place:
        offered.use([place])
    offer = offered.find("stage", name)
    if offer is None:
        hint = nearest(name, (*MODULES, *offered.names("stage")))
        raise UserError(f"there is no stage '{name}'", hint=hint)
    return offer.value


def _reduced(stage: Stage) -> tuple[Any, tuple[str, str]]:
    """A declaration holds functions: it travels to workers by its name."""
    return get_stage, (stage.name, offered.file_of("stage", stage.name))


copyreg.pickle(Stage, _reduced)
