"""The parts of `images` in the variants that a corpus asks for, beside the clean ones.

Which they are follows from the committed clean parts: nothing here changes those, or their nodes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.layouts import Misfit, labels
from pipeline.corpus.variants import ALL, chosen, variant_id
from pipeline.dag.graph import Dag
from pipeline.engine.task import Room, Task, always
from pipeline.errors import UserError
from pipeline.store.parts import Store, part_name, part_number, part_tag


@dataclass(frozen=True)
class VariantPart:
    """The images `ids` of the clean part `source`, in one variant."""

    name: str
    source: str
    variant: str
    ids: tuple[str, ...]  # of the clean images


def wanted(dag: Dag, store: Store) -> list[VariantPart]:
    """The parts that the corpus asks for, there or not, in the order of the clean ones.

    A part for each variant and clean part that has images of the split (that of an image's first
    listing row) among the corpus's `variant_share`; none for one without. Opens no image.
    """
    tags = dag.corpus.tags
    if not tags:
        return []
    listing, images = dag.nodes["listing"], dag.nodes["images"]
    listed = {part_number(path.name): path.name for path in store.parts(listing)}
    splits_wanted = dict.fromkeys(split for split, _ in tags.values())
    parts = []
    for path in store.current(images, images):
        number = part_number(path.name)
        if number not in listed:  # removed by hand: `index.write_images` says what to do
            continue
        if ALL not in splits_wanted and not store.may_have(
            listing.folder, listed[number], "split", splits_wanted
        ):
            continue
        listed_uris, splits = store.read(listing.folder, listed[number], ["uri", "split"]).columns
        ids, uris = store.read(images.folder, path.name, ["image_id", "uri"]).columns
        row = pc.index_in(uris, listed_uris)  # as arrays: there may be millions
        if row.null_count:
            raise UserError(
                f"{row.null_count:,} images of a cached part are not in its listing",
                str(path),
                "delete this one file and run again: only this part is computed anew",
            )
        split_of = splits.take(row)
        members = {
            split: _members(ids, split_of, split, dag.corpus.variant_share)
            for split in splits_wanted
        }
        for tag, (split, variant) in tags.items():
            if mine := members[split]:
                name = part_name(number, [variant_id(i, variant) for i in mine], tag)
                parts.append(VariantPart(name, path.name, variant, mine))
    return parts


def _members(
    ids: pa.ChunkedArray, split_of: pa.ChunkedArray, split: str, share: float
) -> tuple[str, ...]:
    """The images of a split that are among the share."""
    own = ids if split == ALL else ids.filter(pc.equal(split_of, split))
    return tuple(chosen(own.to_pylist(), share))


def without_images(dag: Dag, parts: Sequence[VariantPart]) -> list[str]:
    """The variants, as `split: variant`, that no image has among these wanted `parts`.

    UserError when that is no matter of a small share or a limit: the corpus has no such split.
    """
    made = {part_tag(part.name) for part in parts}
    lost = [f"{split}: {name}" for tag, (split, name) in dag.corpus.tags.items() if tag not in made]
    if lost and dag.corpus.variant_share == 1 and dag.corpus.limit is None:
        raise UserError(
            f"no image is of the split '{lost[0].partition(':')[0]}', to make variants of",
            f"{dag.path}: corpus.variants",
            "name a split that the corpus has, or `all`: it stands for every image",
        )
    return lost


def missing(dag: Dag, store: Store, parts: Sequence[VariantPart]) -> list[VariantPart]:
    """Those of the wanted parts that `images` lacks."""
    images = dag.nodes["images"]
    there = {path.name for path in store.parts(images)}
    return [part for part in parts if part.name not in there]


class VariantQueue:
    """The tasks that make some of the wanted parts: images are perturbed, and measured."""

    def __init__(self, dag: Dag, store: Store, parts: Sequence[VariantPart]):
        self._node, self._store = dag.nodes["images"], store
        self._parts = list(parts)

    def pop(self, has_room: Room = always) -> Task | None:
        """The next task, if there is room; every one is ready from the start."""
        if not self._parts or not has_room((self._node,)):
            return None
        part = self._parts.pop(0)
        rows = self._store.read(self._node.folder, part.source)
        rows = rows.filter(pc.is_in(rows["image_id"], pa.array(part.ids, pa.string())))
        columns = dict(zip(rows.column_names, rows.columns, strict=True))
        columns["image_id"] = pa.array([variant_id(i, part.variant) for i in part.ids])
        columns["variant"] = pa.array([part.variant] * len(part.ids))
        return Task(self._store.root, (self._node,), part.name, files=pa.table(columns))

    def finish(self, node: str, part: str) -> None:
        """Nothing waits for a single one of these parts."""


def of_new_files(dag: Dag, paths: Sequence[str]) -> tuple[int, int]:
    """(images, parts) in variants that new files will give, before any of them is read.

    `paths` are relative to the root, in order. Exact where all contents differ and the share is 1.
    """
    images, parts = 0.0, 0
    for start in range(0, len(paths), dag.corpus.part_size):
        splits = Counter(_split(dag, path) for path in paths[start : start + dag.corpus.part_size])
        for split, _ in dag.corpus.tags.values():
            count = splits.total() if split == ALL else splits[split]
            images, parts = images + count * dag.corpus.variant_share, parts + (count > 0)
    return round(images), parts


def _split(dag: Dag, path: str) -> str | None:
    try:
        return labels(dag.corpus.layout, path).split
    except Misfit:
        return None
