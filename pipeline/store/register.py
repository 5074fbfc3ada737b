"""Registering contents: those that a listing names become members of parts, for good."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.corpus.variants import CLEAN
from pipeline.dag.graph import Dag, Node
from pipeline.errors import transient
from pipeline.stages.images import described
from pipeline.store.contents import clean_parts
from pipeline.store.parts import Store, free_numbers, part_name, part_number, part_tag
from pipeline.store.rows import Rows, counts
from pipeline.tables import MADE_FROM

# what the listing says of a content
_LISTED = [name for name in tables.schema("images").names if name != "variant"]


def register(dag: Dag, store: Store) -> int:
    """Appends the listed contents that the store has not met yet, as new parts; how many.

    They come in the order of the listing, `part_size` to a part. No image is read. What could not
    be used, and can be by what the listing says now, has its row replaced. To be called by one run
    at a time.
    """
    listing, images = dag.nodes["listing"], dag.nodes["images"]
    _mend(dag, store)
    _recover(dag, store)
    known = dict(clean_parts(dag, store))
    free, size = free_numbers(known), dag.corpus.part_size
    waiting, count = tables.schema("images").empty_table(), 0
    for rows in _unknown(store, listing, list(known.values())):
        count += len(rows)
        waiting = pa.concat_tables([waiting, rows])
        while len(waiting) >= size:
            _append(store, images, next(free), waiting.slice(0, size))
            waiting = waiting.slice(size)
    if len(waiting):
        _append(store, images, next(free), waiting)
    return count


def _unknown(store: Store, listing: Node, known: list[pa.Array]) -> Iterator[pa.Table]:
    """Rows of `images` for the listed contents that are not `known`, each at its first place.

    Part by part of the listing: all of a million at once would take a gigabyte.
    """
    names = [path.name for path in store.parts(listing)]
    none = pa.array([], pa.string())
    ids = [store.read(listing.folder, name, ["image_id"])["image_id"] for name in names]
    everything = pa.concat_arrays([none, *(one.combine_chunks() for one in ids)])
    new = np.zeros(len(everything), bool)
    first = pc.index_in(pc.unique(everything), value_set=everything).to_numpy()
    new[first] = True
    new &= pc.is_valid(everything).to_numpy(zero_copy_only=False)
    there = pc.is_in(everything, value_set=pa.concat_arrays([none, *known]))
    new &= ~there.to_numpy(zero_copy_only=False)
    end = 0
    for name, own in zip(names, ids, strict=True):
        mine, end = new[end : end + len(own)], end + len(own)
        if mine.any():
            yield described(store.read(listing.folder, name, _LISTED).filter(pa.array(mine)))


def _append(store: Store, images: Node, number: int, rows: pa.Table) -> None:
    rows = rows.combine_chunks()
    rows = rows.append_column(MADE_FROM, pa.array([0] * len(rows), pa.int64()))
    write_given(store, images, part_name(number, rows["image_id"].to_pylist()), rows)


def _mend(dag: Dag, store: Store) -> None:
    """Replaces the rows of contents that could not be used when they were met, and can be now."""
    node = dag.nodes["images"]
    failed: dict[str, pa.Array] = {}
    for path in store.parts(node):
        if not part_tag(path.name) and store.facts(path)["rows_failed"] != "0":
            rows = store.read(node.folder, path.name, ["image_id", "error"])
            failed[path.name] = rows.filter(pc.is_valid(rows["error"]))["image_id"].combine_chunks()
    for name, now in _described(dag, store, failed).items():
        now = now.filter(pc.is_null(now["error"]))
        if len(now):
            rows = store.read(node.folder, name)
            made = Rows("image_id", rows)
            keys = now["image_id"].combine_chunks()
            made.put(keys, now, pa.array([0] * len(keys), pa.int64()))
            whole = made.table(rows["image_id"].combine_chunks())
            write_given(store, node, name, whole)


def _recover(dag: Dag, store: Store) -> None:
    """Makes parts of contents again that are gone, and whose images other nodes still have.

    Without them all that was computed of these would be computed again, in other parts. Of images
    that are in the listing no more little can be said; when they are listed again, it is.
    """
    images = dag.nodes["images"]
    there = {path.name for path in store.parts(images)}
    lost: dict[str, pa.Array] = {}
    for node in dag.computed:
        for path in store.parts(node) if node.stage.key == "image_id" else ():
            if path.name in there or path.name in lost or part_tag(path.name):
                continue
            ids = pc.unique(store.read(node.folder, path.name, ["image_id"])["image_id"])
            if _is_named(path.name, ids):
                lost[path.name] = ids
    for name, rows in _described(dag, store, lost).items():
        ids = lost[name]
        unlisted = ids.filter(pc.invert(pc.is_in(ids, value_set=rows["image_id"])))
        why = transient("the image was in no listing when this row was made again")
        count = len(unlisted)
        columns = {"image_id": unlisted, "variant": [CLEAN] * count, "error": [why] * count}
        rows = pa.concat_tables([rows, tables.build("images", columns)])
        rows = rows.take(pc.index_in(ids, value_set=rows["image_id"]))
        rows = rows.append_column(MADE_FROM, pa.array([0] * len(rows), pa.int64()))
        write_given(store, images, name, rows)


def _is_named(name: str, ids: pa.Array | pa.ChunkedArray) -> bool:
    return name == part_name(part_number(name), ids.to_pylist())


def _described(dag: Dag, store: Store, parts: Mapping[str, pa.Array]) -> dict[str, pa.Table]:
    """The rows of these parts' contents by part, in their order, as far as they are listed.

    The listing is read once, however many parts there are.
    """
    ids = pa.concat_arrays([pa.array([], pa.string()), *parts.values()])
    node, found = dag.nodes["listing"], [tables.schema("listing").empty_table().select(_LISTED)]
    for path in store.parts(node) if len(ids) else ():
        rows = store.read(node.folder, path.name, _LISTED)
        found.append(rows.filter(pc.is_in(rows["image_id"], value_set=ids)))
    rows = described(pa.concat_tables(found))
    at, start = pc.index_in(ids, value_set=rows["image_id"]), 0
    made = {}
    for name, own in parts.items():
        made[name] = rows.take(at.slice(start, len(own)).drop_null())
        start += len(own)
    return made


def write_left(store: Store, node: Node, name: str, left: pa.Table, **more: str) -> None:
    """Writes a part again with those of its rows that stay, and what its footer says of them.

    Of the seconds that it took they have their share; `more` are other facts than before.
    """
    before = store.facts(store.folder(node) / name)
    kept = {key: value for key, value in before.items() if key != "sums"}
    now = counts(node.stage.key, left)
    share = now["rows_in"] / max(int(before["rows_in"]), 1)
    spent = {key: float(before[key]) * share for key in ("seconds_read", "seconds_infer")}
    store.write(node.folder, name, left, {**kept, **now, **spent, **more})


def write_given(store: Store, node: Node, name: str, rows: pa.Table) -> None:
    """Writes a part whose rows follow from what is known already."""
    spent = {"seconds_read": 0, "seconds_infer": 0}
    facts = {"node": node.name, **counts(node.stage.key, rows), **spent}
    store.write(node.folder, name, rows, facts)
