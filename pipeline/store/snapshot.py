"""The listing as a mirror of the corpus: what has changed in it since it was last looked at.

A file is what it was when its size and its time of change (or etag) are; then it is not opened. A
row that failed for now, and one of a filesystem that tells no time of change, is made anew. A
folder or an archive that cannot be listed is a row that failed for now; what was known of its files
stays. Where a table or files beside the images say what they are, and say something else than
before, rows are written again, and no image is opened.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.corpus.formats.known import NOT_READ
from pipeline.corpus.layouts.labels import Labels
from pipeline.corpus.layouts.said import labels_of
from pipeline.corpus.names import encoded_uri
from pipeline.corpus.sources.found import Found
from pipeline.dag.graph import Dag, Node
from pipeline.shipped import portable
from pipeline.stages.listing import relabelled
from pipeline.store.parts import Store, free_numbers, part_name
from pipeline.store.register import write_given, write_left
from pipeline.store.rows import transient
from pipeline.store.upkeep.gone import forget
from pipeline.tables import declared

_LABELS = ("label", "generator", "dataset", "split", "class_name", "released")
_KNOWN = ["uri", "bytes", "stamp", "error"]
_SAID = ["image_id", *_LABELS]
_SPOKEN = (*_LABELS, "given_caption")
_ROWS = 65_536  # whose labels are in Python at a time


@dataclass(frozen=True)
class Changes:
    """What differs between a corpus and its listing.

    `new`: the files to describe, the changed ones among them (schema `sources.found.FILES`), in the
    order of their paths. `outdated`: part of the listing -> the rows in it that are no more true.
    `changed`: how many files are listed with another content. `again`: how many are tried again.
    `said`: of how many what the source says of them has changed.
    """

    new: pa.Table
    outdated: dict[str, pa.Array]
    changed: int
    again: int
    said: int = 0

    def __bool__(self) -> bool:
        return bool(len(self.new) or self.outdated)

    @property
    def uris(self) -> pa.Array:
        """The uris whose rows are no more true."""
        return pa.concat_arrays([pa.array([], pa.string()), *self.outdated.values()])


def compare(dag: Dag, store: Store, found: Found) -> Changes:
    """How the files that were found differ from those that are listed. Opens none of them."""
    files = pa.concat_tables([sampled(found.files, dag.corpus.limit), found.unlisted])
    parts = _known(dag.nodes["listing"], store, [*_KNOWN, *(_SPOKEN if found.says else ())])
    rows = pa.concat_tables([table for _, table in parts]) if parts else None
    if rows is None:
        return Changes(files, {}, 0, 0)
    at = pc.index_in(files["uri"], value_set=rows["uri"]).combine_chunks()
    there = rows.drop_columns("uri").take(at)
    failed = transient(there)
    good = pc.and_(_unchanged(there, files), pc.invert(failed))
    other = pc.and_(good, _says_else(dag, there, files) if found.says else False)
    good = pc.and_(good, pc.invert(other))
    said = pc.sum(other).as_py() or 0
    again = pc.sum(failed).as_py() or 0
    changed = pc.sum(pc.and_(pc.is_valid(at), pc.invert(good))).as_py() or 0
    changed -= again + said
    true = np.zeros(len(rows), bool)
    true[at.filter(good.combine_chunks()).to_numpy()] = True
    true |= _below(rows["uri"], found.unlisted["uri"].to_pylist())
    outdated, start = {}, 0
    for name, table in parts:
        lost = ~true[start : start + len(table)]
        start += len(table)
        if lost.any():
            outdated[name] = table["uri"].combine_chunks().filter(pa.array(lost))
    return Changes(files.filter(pc.invert(good)), outdated, changed, again, said)


def sampled(files: pa.Table, limit: int | None) -> pa.Table:
    """`limit` of the files, evenly spaced, so that a small sample has every folder in it."""
    if limit is None or limit >= len(files):
        return files
    return files.take(pa.array(np.arange(limit) * len(files) // limit))


def drop_outdated(dag: Dag, store: Store, changes: Changes) -> pa.Table:
    """Takes the rows that are no more true out of the listing; returns them."""
    node = dag.nodes["listing"]
    said = [tables.schema("listing").empty_table()]
    for name, uris in changes.outdated.items():
        table = declared(store.read(node.folder, name))
        lost = pc.is_in(table["uri"], value_set=uris)
        said.append(table.filter(lost))
        kept = table.filter(pc.invert(lost))
        if len(kept):
            write_left(store, node, name, kept)
        else:
            forget(store, node, name)
            store.remove(node, name)
    return pa.concat_tables(said)


def take_over(dag: Dag, store: Store, new: pa.Table, before: pa.Table) -> pa.Table:
    """Lists those of the new files that need not be opened; returns the others.

    Those of which only what is said of them has changed since `before`; and those that another
    listing of the same root has: with another layout, dataset or limit a corpus has another one.
    """
    node = dag.nodes["listing"]
    found, rest = elsewhere(dag, store, new, before)
    for rows in found:
        number = next(free_numbers(path.name for path in store.parts(node)))
        write_given(store, node, part_name(number, rows["uri"].to_pylist()), rows)
    return rest


def elsewhere(
    dag: Dag, store: Store, new: pa.Table, before: pa.Table
) -> tuple[list[pa.Table], pa.Table]:
    """(rows of new files that `before` or other listings of the same root have, the others)."""
    node = dag.nodes["listing"]
    rows, new = _same_uris(before, new, node)
    found = [rows] if len(rows) else []
    for recipe in store.recipes("listing"):
        same_root = recipe.get("parameters", {}).get("root") == portable(dag.corpus.root)
        same_stage = recipe.get("version") == node.recipe["version"]
        if recipe["fingerprint"] == node.fingerprint or not same_root or not same_stage:
            continue
        folder = f"listing/{recipe['fingerprint']}"
        for path in store.parts_of(folder) if len(new) else ():
            rows, new = _same_uris(declared(store.read(folder, path.name)), new, node)
            if len(rows):
                found.append(rows)
    return found, new


def _same_uris(known: pa.Table, new: pa.Table, node: Node) -> tuple[pa.Table, pa.Table]:
    if not len(known) or not len(new):
        return known.slice(0, 0), new
    return unchanged(known, new, pc.index_in(new["uri"], value_set=known["uri"]), node)


def unchanged(
    known: pa.Table, new: pa.Table, at: pa.ChunkedArray, node: Node
) -> tuple[pa.Table, pa.Table]:
    """(known rows of new files, with what is said of these now; the new files without them).

    `at`: of each new file the place among `known` where it may be, or null.
    """
    there = pc.is_valid(at)
    files, known = new.filter(there), known.take(at.drop_null().combine_chunks())
    again = pc.fill_null(pc.starts_with(known["error"], NOT_READ), False)  # there may be a package
    same = pc.and_not(_unchanged(known, files), pc.or_(transient(known), again))
    left = ~there.to_numpy()
    left[~left] = ~same.to_numpy()
    return told(known.filter(same), files.filter(same), node), new.filter(pa.array(left))


def told(known: pa.Table, files: pa.Table, node: Node) -> pa.Table:
    """Rows that are known as those of these files: where they lie, and what is said of them."""
    place = known.schema.get_field_index("uri")
    known = known.set_column(place, known.schema.field(place), files["uri"])
    return relabelled(known, files, node.parameters)


def _says_else(dag: Dag, rows: pa.Table, files: pa.Table) -> pa.Array:
    """Which rows of the listing do not say what is said of the files beside them now."""
    pieces = [pa.array([], pa.bool_())]
    for start in range(0, len(files), _ROWS):
        some = rows.slice(start, _ROWS), files.slice(start, _ROWS)
        pieces.append(_say_else(dag, *some))
    return pa.concat_arrays(pieces)


def _say_else(dag: Dag, rows: pa.Table, files: pa.Table) -> pa.Array:
    nothing = Labels(dataset=dag.corpus.dataset)
    found = labels_of(dag.corpus.reading, files)
    now = [one if isinstance(one, Labels) else nothing for one in found]
    columns = {name: [getattr(one, name) for one in now] for name in _LABELS}
    columns["given_caption"] = files["caption"].to_pylist()
    other = np.zeros(len(files), bool)
    for name, values in columns.items():
        array = pa.array(values, tables.schema("listing").field(name).type)
        same = pc.fill_null(pc.equal(rows[name], array), False)
        both = pc.and_(pc.is_null(rows[name]), pc.is_null(array))
        other |= pc.invert(pc.or_(same, both)).to_numpy()
    return pa.array(other)


def _below(uris: pa.ChunkedArray, folders: list[str]) -> np.ndarray:
    """Which files lie in folders that cannot be listed: nobody knows that they are gone."""
    below = np.zeros(len(uris), bool)
    for folder in folders:
        if archive := folder.partition("://::")[2]:
            mine = pc.and_(pc.ends_with(uris, f"::{archive}"), pc.not_equal(uris, folder))
            below |= mine.to_numpy()
            continue
        for start in dict.fromkeys((folder, encoded_uri(folder))):
            mine = pc.and_(pc.starts_with(uris, start), pc.not_equal(uris, folder))
            below |= mine.to_numpy()
    return below


def _unchanged(rows: pa.Table, files: pa.Table) -> pa.ChunkedArray:
    """Which rows of a listing tell of the file beside them: bool, not null."""
    size = pc.or_kleene(pc.equal(rows["bytes"], files["bytes"]), pc.is_null(files["bytes"]))
    return pc.fill_null(pc.and_(size, pc.equal(rows["stamp"], files["stamp"])), False)


def _known(node: Node, store: Store, columns: list[str]) -> list[tuple[str, pa.Table]]:
    paths = store.parts(node)
    return [(path.name, store.read(node.folder, path.name, columns)) for path in paths]


def summary(dag: Dag, store: Store, changes: Changes, before: pa.Table) -> str:
    """What has changed, in words: `+12 -3 ~1, 2 moved, 1 relabelled`.

    `before`: what the rows said that are no more true.
    """
    known = changes.changed + changes.again + changes.said
    text = f"+{len(changes.new) - known} -{len(before) - known} ~{changes.changed}"
    if changes.again:
        text += f", {changes.again} tried again"
    if changes.said:
        text += f", {changes.said} with other words"
    moved, labels = _moved(dag, store, changes, before)
    if moved:
        text += f", {moved} moved"
    if labels:
        text += f", {labels} relabelled"
    return text


def _moved(dag: Dag, store: Store, changes: Changes, before: pa.Table) -> tuple[int, int]:
    """(contents at other places than before, those with other labels there)."""
    columns = ["uri", *_SAID]
    was = _by_content(before.select(columns))
    if not was:
        return 0, 0
    node, uris, new = dag.nodes["listing"], changes.new["uri"].combine_chunks(), []
    for path in store.parts(node):
        rows = store.read(node.folder, path.name, columns)
        new.append(rows.filter(pc.is_in(rows["uri"], value_set=uris)))
    now = _by_content(pa.concat_tables(new)) if new else {}
    both = [(was[one], now[one]) for one in was.keys() & now.keys()]
    moved = sum(places != others for (places, _), (others, _) in both)
    return moved, sum(labels != others for (_, labels), (_, others) in both)


def _by_content(rows: pa.Table) -> dict[str, tuple[set[str], Counter[tuple]]]:
    """Where each content is, and what is said of it there; a class only of what has a label."""
    found: dict[str, tuple[set[str], Counter[tuple]]] = {}
    for row in rows.to_pylist():
        if row["image_id"] is not None:
            places, labels = found.setdefault(row["image_id"], (set(), Counter()))
            places.add(row["uri"])
            said = {name: row[name] for name in _LABELS}
            if row["label"] is None:  # the name of a folder, no more
                del said["class_name"]
            labels[tuple(said.values())] += 1
    return found
