"""What a listing would say before it is made: files that look like known ones, taken for them.

A file that was renamed, or copied with its time of change, is read again by a run, which then finds
its content known. Who plans a run opens no file: size and time of change say as much as can be
known, and of a corpus that lies elsewhere now, the path below its root as well.
"""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.corpus.names import encoded_uri
from pipeline.corpus.sources.places import in_archive
from pipeline.dag.graph import Dag, Node
from pipeline.store.contents import listed
from pipeline.store.parts import Store
from pipeline.store.snapshot import Changes, elsewhere, told, unchanged
from pipeline.tables import declared

_MEMBER, _AS_BELOW = r"(?s)^(?:tar|zip|parquet)://([^:]*)::(.+)$", r"\2/\1"
_ROWS = 65_536  # that are labelled at a time
_ASKED = ["uri", "image_id", "error", "split", "given_caption"]  # as of `contents.listed` at most
_KNOWN = ["uri", "image_id", "bytes", "stamp", "error", "format", "width", "height", "decode_bytes"]


def foreseen(dag: Dag, store: Store, changes: Changes) -> tuple[pa.Table, pa.Table, pa.Table]:
    """(rows as of `contents.listed`, files that must be described, those of them that seem to be
    new), if the corpus were listed.

    The others have the size and the time of change of a file that is gone, or of one that another
    listing has at the same path below its root: taken for its content.
    """
    node, rows = dag.nodes["listing"], listed(dag, store)
    rows = rows.filter(pc.invert(pc.is_in(rows["uri"], value_set=changes.uris)))
    before = [tables.schema("listing").empty_table()]
    for name, uris in changes.outdated.items() if len(changes.new) else ():
        table = declared(store.read(node.folder, name))
        before.append(table.filter(pc.is_in(table["uri"], value_set=uris)))
    gone = pa.concat_tables(before)
    found, rest = elsewhere(dag, store, changes.new, gone if changes.said else gone.slice(0, 0))
    moved, unknown = _seem_moved(gone, rest, node)
    copied, unknown = _seem_copied(dag, store, unknown)
    known = [some.select(rows.column_names) for some in (*found, moved, *copied)]
    return pa.concat_tables([rows, *known]), rest, unknown


def _seem_moved(gone: pa.Table, new: pa.Table, node: Node) -> tuple[pa.Table, pa.Table]:
    """(rows of new files that have size and time of a content that is gone, the other ones)."""
    gone = gone.filter(pc.and_(pc.is_valid(gone["image_id"]), pc.is_valid(gone["stamp"])))
    if not len(gone) or not len(new):
        return gone.slice(0, 0), new
    at = pc.index_in(_looks(new), value_set=_looks(gone))
    files, known = new.filter(pc.is_valid(at)), gone.take(at.drop_null())
    return told(known, files, node), new.filter(pc.is_null(at))


def _looks(files: pa.Table) -> pa.Array:
    """Size and time of change of each file, and which of those alike it is: none comes twice.

    Null where one of them is not known.
    """
    looks = pc.binary_join_element_wise(files["bytes"].cast(pa.string()), files["stamp"], " ")
    kinds = pc.index_in(looks, value_set=pc.unique(looks)).to_numpy()
    order = np.argsort(kinds, kind="stable")
    first = np.searchsorted(kinds[order], kinds[order])
    number = np.empty(len(kinds), np.int64)
    number[order] = np.arange(len(kinds)) - first
    return pc.binary_join_element_wise(looks, pa.array(number).cast(pa.string()), " ")


def _seem_copied(dag: Dag, store: Store, new: pa.Table) -> tuple[list[pa.Table], pa.Table]:
    """(rows of new files that other roots' listings have at the same path, the other ones).

    Of the rows what a plan asks for, and some of them at a time: whole, a million take gigabytes.
    """
    node, found = dag.nodes["listing"], []
    for recipe in store.recipes("listing"):
        root, folder = recipe.get("corpus"), f"listing/{recipe['fingerprint']}"
        same_stage = recipe.get("version") == node.recipe["version"]
        if root in (None, dag.corpus.root) or not same_stage or not len(new):
            continue
        parts = [store.read(folder, path.name, _KNOWN) for path in store.parts_of(folder)]
        if parts:
            known, left = pa.concat_tables(parts).combine_chunks(), [new.slice(0, 0)]
            names = _below(known["uri"], root)
            at = pc.index_in(_below(new["uri"], dag.corpus.root), value_set=names)
            for start in range(0, len(new), _ROWS):
                some = new.slice(start, _ROWS), at.slice(start, _ROWS)
                rows, unknown = unchanged(known, *some, node)
                found.append(rows.select(_ASKED))
                left.append(unknown)
            new = pa.concat_tables(left)
    return found, new


def _below(uris: pa.ChunkedArray, root: str) -> pa.ChunkedArray:
    """What tells files below a root apart wherever it lies; files that do not, by their uris.

    What a table names is below the folder that the table lies in.
    """
    _, archive, inside = in_archive(root)
    base = f"{archive.rstrip('/')}/{inside}".rstrip("/")
    names = pc.replace_substring_regex(uris, _MEMBER, _AS_BELOW)
    for start, short in ((base, ""), (encoded_uri(base), "./")):
        starts = "|".join(map(re.escape, (start, start.rpartition("/")[0])))
        names = pc.replace_substring_regex(names, f"^(?:{starts})/", short, max_replacements=1)
    return names
