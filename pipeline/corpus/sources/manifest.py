"""A table that names images: a CSV, TSV, JSON lines, JSON or Parquet file, a row an image.

What it names is a URL, a path, or a path relative to the folder that the table lies in. A file on
this machine is looked at for its size and time of change. Elsewhere each look would be a request,
so what a URL names is taken for unchanged as long as the table says the same of it.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus import names as spelt
from pipeline.corpus.sources import cells
from pipeline.corpus.sources.fields import IMAGE, STAMP, Fields
from pipeline.corpus.sources.filesystems import filesystem, is_local
from pipeline.corpus.sources.found import FILES, SAID, Found
from pipeline.corpus.sources.objects import json_lines
from pipeline.corpus.sources.packed import parquet
from pipeline.corpus.sources.places import path_below
from pipeline.corpus.sources.read import read_bytes
from pipeline.errors import UserError, nearest

_NAMES = ("uri", "url", "path", "file", "file_name", "filename", "filepath", "image_path", "image")
_NAMED = "as named"  # the stamp of what nothing is known of
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
NAMED_AGAIN = "(named again)"
_Columns = dict[str, pa.Array]


def listed(root: str, fields: Fields) -> Found:
    """The images that a table names, in its order; UserError where it cannot be read.

    A row that names no image is one of `unlisted`. Rows that name one image again and say the same
    are passed over; where they say something else, that is the image's `problem`.
    """
    with _on_disk(root) as path:
        columns, count, image = _read(path, root, fields)
    if not count:
        raise UserError("the table names no images: it has no rows", root, "correct `corpus.root`")
    uris, known = _resolved(root, columns.pop(image))
    stamps = next((columns[n] for n in fields.candidates(STAMP) if n in columns), None)
    sizes, times = _looked_at(uris, None if stamps is None else stamps.cast(pa.string()))
    table = pa.table(
        {
            "uri": pa.array(uris, pa.string()),
            "path": pa.array([path_below(root, uri) or uri for uri in uris], pa.string()),
            "bytes": sizes,
            "stamp": times,
            **fields.read(columns, count),
        },
        schema=FILES,
    )
    files, again = _once(table.filter(known))
    return Found(files, {NAMED_AGAIN: again} if again else {}, _nameless(root, known), says=True)


@contextmanager
def _on_disk(root: str) -> Iterator[Path]:
    """The table as a file of this machine."""
    system, name = filesystem(root)
    if is_local(system):
        yield Path(name)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / root.rpartition("/")[2]
        path.write_bytes(read_bytes(root))
        yield path


def _read(path: Path, root: str, fields: Fields) -> tuple[_Columns, int, str]:
    """(the columns that say something, how many rows, which column names the images)."""
    try:
        kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
        if kind in ("csv", "tsv"):
            names = cells.header(path)
            image, wanted = _chosen(names, root, fields)
            rows = list(cells.rows(path, wanted))
            values = zip(*rows, strict=True) if rows else [[] for _ in wanted]
            found = {n: pa.array(v, pa.string()) for n, v in zip(wanted, values, strict=True)}
            return found, len(rows), image
        if kind == "parquet":
            schema = parquet.schema_of(str(path))
            image, wanted = _chosen(schema.names, root, fields)
            held = parquet.rows(str(path), "", wanted)
            return dict(held.columns), held.count, image
        objects = _objects(path) if kind == "json" else [one for _, one in json_lines(path)]
        names = list(dict.fromkeys(name for one in objects for name in one))
        image, wanted = _chosen(names, root, fields)
        return {n: _column([one.get(n) for one in objects]) for n in wanted}, len(objects), image
    except (pa.ArrowException, OSError, EOFError, ValueError, RecursionError) as problem:
        why = (str(problem).strip().splitlines() or [type(problem).__name__])[0][:300]
        hint = "it must be CSV, TSV or JSON in UTF-8, or Parquet, whichever its name ends in"
        raise UserError(f"the table of images cannot be read: {why}", root, hint) from problem


def _objects(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("it is no list of objects, such as [{path: …, label: …}]")
    return found


def _column(values: list[Any]) -> pa.Array:
    """Values as a column; as text where they are of several kinds."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if one is None else str(one) for one in values], pa.string())


def _chosen(names: Sequence[str], root: str, fields: Fields) -> tuple[str, list[str]]:
    """(the column that names images, all that are wanted); UserError where there is none."""
    if missing := fields.missing(names):
        role, name = missing
        raise UserError(
            f"the table has no column '{name}'", f"{root} (`{role}: {name}`)", nearest(name, names)
        )
    image = fields.columns.get(IMAGE) or next((one for one in _NAMES if one in names), None)
    if image is None:
        raise UserError(
            "none of the table's columns names an image by its usual name",
            f"{root}: it has {', '.join(names)}",
            "name the one that does: `corpus.columns: {image: …}`",
        )
    return image, list(dict.fromkeys([image, *(n for n in fields.wanted if n in names)]))


def _resolved(root: str, named: pa.Array) -> tuple[list[str], pa.Array]:
    """(the uri of each row, which rows name one)."""
    if not pa.types.is_string(named.type):
        named = named.cast(pa.string())
    system, name = filesystem(root)
    folder = os.path.dirname(name) if is_local(system) else root.rpartition("/")[0]  # noqa: PTH120
    local, uris = is_local(system), []
    for text in named.to_pylist():
        text = (text or "").strip()
        if _URL.match(text):
            uris.append(text)
        elif local or text.startswith("/"):
            uris.append(
                spelt.uri_of(os.path.normpath(f"{folder}/{text}" if text[:1] != "/" else text))
            )
        else:
            uris.append(f"{folder}/{text.removeprefix('./')}")
    empty = pc.equal(pc.fill_null(pc.utf8_trim_whitespace(named), ""), "")
    return uris, pc.invert(empty)


def _looked_at(uris: Sequence[str], stamps: pa.Array | None) -> tuple[pa.Array, pa.Array]:
    """(bytes, stamp) of each uri; both null for a file of this machine that is not there."""
    sizes: list[int | None] = []
    times: list[str | None] = []
    said = [None] * len(uris) if stamps is None else stamps.to_pylist()
    for uri, stamp in zip(uris, said, strict=True):
        size, time = None, stamp or _NAMED
        if uri.startswith(("/", "file:///")):
            try:
                about = os.stat(spelt.local_name(uri))  # noqa: PTH116 (speed)
                size, time = about.st_size, str(about.st_mtime_ns)
            except (OSError, ValueError):  # its row says so, when it is read; a null byte
                time = None
        sizes.append(size)
        times.append(time)
    return pa.array(sizes, pa.int64()), pa.array(times, pa.string())


def _once(table: pa.Table) -> tuple[pa.Table, int]:
    """(each uri once, how many rows were passed over)."""
    if pc.count_distinct(table["uri"]).as_py() == len(table):
        return table, 0
    first = pc.index_in(table["uri"], value_set=pc.unique(table["uri"])).to_numpy()
    _, rows, group = np.unique(first, return_index=True, return_inverse=True)
    same = np.ones(len(table), bool)
    head = table.take(pa.array(rows[group]))
    for name in (*SAID, "problem"):
        equal = pc.fill_null(pc.equal(table[name], head[name]), False)
        both = pc.and_(pc.is_null(table[name]), pc.is_null(head[name]))
        same &= pc.or_(equal, both).to_numpy()
    odd = np.zeros(len(rows), bool)
    odd[group[~same]] = True
    once = table.take(pa.array(rows))
    why = pa.scalar("the table names this image several times, and says different things of it")
    problem = pc.if_else(pa.array(odd), why, once["problem"])
    at = once.schema.get_field_index("problem")
    return once.set_column(at, FILES.field("problem"), problem), len(table) - len(rows)


def _nameless(root: str, known: pa.Array) -> pa.Table:
    rows = [
        {"uri": f"{root}#{row}", "path": f"row {row}/", "problem": f"row {row} names no image"}
        for row in np.flatnonzero(~known.to_numpy(zero_copy_only=False)) + 1
    ]
    return pa.Table.from_pylist(rows, schema=FILES)
