"""Stages by name."""

import copyreg
from importlib import import_module

from pipeline.errors import UserError, nearest
from pipeline.spec import Stage

# stage name -> module; imported when asked for, so that the command line starts quickly
MODULES = {
    "listing": "pipeline.stages.listing",
    "images": "pipeline.stages.images",
    "caption": "pipeline.stages.caption",
    "provided": "pipeline.stages.provided",
    "parse": "pipeline.stages.parse",
    "ground": "pipeline.stages.ground",
    "embed_images": "pipeline.stages.embed_images",
    "embed_texts": "pipeline.stages.embed_texts",
    "embed_objects": "pipeline.stages.embed_objects",
    "misalign": "pipeline.stages.misalign",
    "features": "pipeline.stages.features",
}


def get_stage(name: str) -> Stage:
    """The stage called `name`; UserError with the nearest known name."""
    if name not in MODULES:
        raise UserError(f"there is no stage '{name}'", hint=nearest(name, MODULES))
    return import_module(MODULES[name]).STAGE


# a declaration holds functions: it travels to workers by its name
copyreg.pickle(Stage, lambda stage: (get_stage, (stage.name,)))
