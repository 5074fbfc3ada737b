"""What of a store no DAG needs any more: node folders, and parts in variants; and its removal."""

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UserError, refusals_explained
from pipeline.store.parts import ANSWER, RECIPE, Store, is_part, part_tag, size
from pipeline.store.sharing import claims


@dataclass(frozen=True)
class Unused:
    """A node folder that no DAG needs, or (`tag`) its parts in one variant; with its recipe."""

    folder: str
    tag: str | None
    about: str
    bytes: int


def unused(store: Store, kept: Mapping[str, Collection[str]]) -> list[Unused]:
    """What the `kept` node folders (`<stage>/<fingerprint>`), with these tags, do not need."""
    found = []
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
        sizes: Counter[str] = Counter()
        for path in store.parts_of(folder):
            sizes[part_tag(path.name)] += size(path)
        for tag in sorted(set(sizes) - {"", *kept[folder]}):
            found.append(Unused(folder, tag, f"{tag} in {words}", sizes[tag]))
    return found


def delete(store: Store, unused: Unused) -> None:
    """Removes a node folder: its parts and its recipe; or its parts of one tag.

    UserError when anything else lies in the folder, or a run is computing parts of it.
    """
    path = store.root / unused.folder
    with refusals_explained(f"cannot delete {path}"):
        if busy := claims.living(store.root, unused.folder):
            raise UserError(f"this node is being written by {busy}", str(path), "try later")
        if unused.tag is not None:
            for part in store.parts_of(unused.folder):
                if part_tag(part.name) == unused.tag:
                    part.unlink()
            return
        names = sorted(os.listdir(path), key=lambda name: name == RECIPE)  # that last
        for name in names:
            known = is_part(name) or name in (RECIPE, ANSWER) or claims.is_claim(name)
            if not known and not name.startswith(".tmp-"):
                raise UserError("an unknown file lies among the parts", str(path / name))
        for name in names:
            (path / name).unlink()
        path.rmdir()
