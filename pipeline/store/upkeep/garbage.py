"""What of a store no DAG and no corpus needs any more, and its removal.

Node folders that no DAG reaches; parts in variants that none asks for; and parts none of whose
contents any listing has: files that are gone, for good as far as this store knows. A part with one
listed content stays whole. And what was left over: bad parts that were set aside, and runs that
were never finished.
"""

import json
import os
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError, refusals_explained
from pipeline.store.parts import ANSWER, ARCHIVE, RECIPE, Store, clean_part, is_part, part_tag, size
from pipeline.store.run_folders import at_work, unfinished
from pipeline.store.sharing import claims


@dataclass(frozen=True)
class Unused:
    """A node folder that no DAG needs, or some of its `parts`, with what they are.

    Or a folder that was `left_over`.
    """

    folder: str
    parts: tuple[str, ...] | None
    about: str
    bytes: int
    left_over: bool = False


def unused(store: Store, kept: Mapping[str, Collection[str]]) -> list[Unused]:
    """What the `kept` node folders (`<stage>/<fingerprint>`), with these tags, do not need.

    In the order in which it is to be deleted: which contents a part has is forgotten last. Raises
    UserError when a part of a listing or of contents is damaged.
    """
    found, gone = [], _gone(store)
    for recipe in sorted(store.root.glob(f"*/*/{RECIPE}")):
        folder = f"{recipe.parent.parent.name}/{recipe.parent.name}"
        about: dict[str, Any] = {}
        with suppress(ValueError):  # a damaged recipe: the folder is listed all the same
            about = json.loads(recipe.read_text())
        words = f"{about.get('node')} of {about.get('dag')}"
        if about.get("corpus"):
            words += f" over {about['corpus']}, {about.get('created')}"
        if folder not in kept:
            taken = sum(size(path) for path in recipe.parent.iterdir())
            found.append(Unused(folder, None, words, taken))
            continue
        groups: dict[str, list[str]] = {}
        for path in store.parts_of(folder):
            tag = part_tag(path.name)
            if clean_part(path.name) in gone:
                groups.setdefault("images that no listing has", []).append(path.name)
            elif tag and tag not in kept[folder]:
                groups.setdefault(tag, []).append(path.name)
        for what, names in sorted(groups.items()):
            taken = sum(size(recipe.parent / name) for name in names)
            found.append(Unused(folder, tuple(names), f"{what} in {words}", taken))
    return sorted(found, key=lambda one: one.folder.startswith("images/"))


def left_over(store: Store) -> list[Unused]:
    """The folder of bad parts that were set aside, and those of runs that were never finished."""
    about = {store.aside: "bad parts that `item verify --fix` set aside"}
    about |= dict.fromkeys(
        unfinished(store.runs_folder), "a run that was never finished, or that another has replaced"
    )
    return [
        Unused(str(path.relative_to(store.root)), None, words, _size_of(path), left_over=True)
        for path, words in about.items()
        if path.is_dir()
    ]


def dags(store: Store) -> set[str]:
    """The names of the DAGs that the nodes of a store were first made for."""
    stages = {recipe.parent.parent.name for recipe in store.root.glob(f"*/*/{RECIPE}")}
    return {str(one.get("dag")) for stage in stages for one in store.recipes(stage)}


def _size_of(folder: Path) -> int:
    return sum(size(path) for path in folder.rglob("*") if path.is_file())


def _gone(store: Store) -> set[str]:
    """The parts of contents (their clean file names) of which no listing of the store has one."""
    listings = [
        store.read(f"listing/{place.name}", path.name, ["image_id"])["image_id"]
        for place in store.root.glob("listing/*")
        for path in store.parts_of(f"listing/{place.name}")
    ]
    if not listings:  # nothing is known then
        return set()
    listed = pc.unique(pa.chunked_array([c for ids in listings for c in ids.chunks], pa.string()))
    gone, there = set(), set()
    for place in store.root.glob("images/*"):
        for path in store.parts_of(f"images/{place.name}"):
            if not part_tag(path.name):
                ids = store.read(f"images/{place.name}", path.name, ["image_id"])["image_id"]
                some = pc.any(pc.is_in(ids, value_set=listed), min_count=0).as_py()
                (there if some else gone).add(path.name)
    return gone - there


def delete(store: Store, unused: Unused) -> None:
    """Removes a node folder: its parts and its recipe; or some of its parts; or what was left over.

    UserError when anything else lies in the folder, or a run is computing parts of it.
    """
    path = store.root / unused.folder
    with refusals_explained(f"cannot delete {path}"):
        if unused.left_over:
            if path == store.aside or not at_work(path):
                shutil.rmtree(path)
            return
        if busy := claims.living(store.root, unused.folder):
            raise UserError(f"this node is being written by {busy}", str(path), "try later")
        if unused.parts is not None:
            for name in unused.parts:
                (path / name).unlink(missing_ok=True)
            return
        names = sorted(os.listdir(path), key=lambda name: name == RECIPE)  # that last
        for name in names:
            known = is_part(name) or name in (RECIPE, ANSWER) or claims.is_claim(name)
            known = known or name.startswith(ARCHIVE)
            if not known and not name.startswith(".tmp-"):
                raise UserError("an unknown file lies among the parts", str(path / name))
        for name in names:
            (path / name).unlink()
        path.rmdir()
