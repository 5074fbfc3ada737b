"""The plugins that a DAG file names, loaded and held against what is there already."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pipeline.corpus.layouts.registry import NAMES as LAYOUTS
from pipeline.dag.inputs import BASELINES, MATRICES
from pipeline.errors import UserError, nearest
from pipeline.plugins import offered
from pipeline.plugins.offered import Offer
from pipeline.stages.registry import BY_TABLE, MODULES
from pipeline.tables import COLUMNS

# names that are taken, by kind
_OWN: dict[str, Collection[str]] = {
    "stage": (*MODULES, *BY_TABLE),
    "captioner": (),
    "layout": LAYOUTS,
    "feature": MATRICES,
    "baseline": BASELINES,
}


def places(given: Any, base: Path) -> tuple[str, ...]:
    """The files that `plugins` names, one or several; relative ones are so to `base`."""
    given = [given] if isinstance(given, str) else given or ()
    if not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise UserError("`plugins` is a list of Python files", hint="e.g. plugins: [./mine.py]")
    return tuple(dict.fromkeys(str((base / Path(one).expanduser()).resolve()) for one in given))


def load(files: Sequence[str]) -> list[Offer]:
    """What these files offer; it is known from now on.

    UserError for a file that is not there, cannot be loaded or offers nothing, and for what it
    offers under a name that `item` has itself, or made from what there is not.
    """
    offers = offered.use(files)
    for offer in offers:
        if offer.name in _OWN[offer.kind]:
            raise UserError(
                f"item has a {offer.kind} '{offer.name}' itself", offer.place, "rename it"
            )
        if offer.kind == "stage":
            _check_stage(offer)
    with offered.visible(offers):
        for offer in offers:
            if offer.kind in ("feature", "baseline"):
                _check_reads(offer)
    return offers


def _check_stage(offer: Offer) -> None:
    stage = offer.value
    known = [table for table in COLUMNS if table not in ("listing", "images")]
    if stage.output not in known:
        raise UserError(
            f"STAGE.output: there is no table '{stage.output}' that a stage could make",
            offer.place,
            f"give STAGE `columns` for a table of its own; {nearest(stage.output, known)}",
        )
    if stage.key != "image_id":
        raise UserError("STAGE.key: a plugin's stage works image by image", offer.place)
    for table in (*stage.inputs, *stage.optional):
        if table not in COLUMNS or table == "listing":
            hint = nearest(table, [one for one in COLUMNS if one != "listing"])
            raise UserError(f"STAGE.inputs: there is no table '{table}'", offer.place, hint)


def _check_reads(offer: Offer) -> None:
    """Of a feature the tables, of a baseline the matrices."""
    if offer.kind == "feature":
        several = {"object_no", "text_id", "uri"}
        what, known = (
            "table with a row an image",
            [t for t in COLUMNS if not several & {*COLUMNS[t]}],
        )
    else:
        what, known = "feature", [*MATRICES, *offered.names("feature")]
    for name in offer.value.reads:
        if name not in known:
            where = f"{offer.kind.upper()}.reads"
            raise UserError(
                f"{where}: there is no {what} '{name}'", offer.place, nearest(name, known)
            )
