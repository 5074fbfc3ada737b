"""The images in tar and zip archives and in Parquet files, one file or all below a folder."""

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa

from pipeline.corpus.sources.fields import IMAGE, Fields
from pipeline.corpus.sources.filesystems import opened, reason
from pipeline.corpus.sources.found import FILES, Found
from pipeline.corpus.sources.packed import parquet
from pipeline.corpus.sources.packed.members import member_uri
from pipeline.corpus.sources.packed.samples import Archive, Listed, samples
from pipeline.corpus.sources.read import is_here
from pipeline.corpus.sources.source import PARQUET, Index
from pipeline.errors import UserError, nearest, transient

_VERSION = 1  # raised when the same archive is listed in another way
_AT_ONCE = 8  # archives that are not on this machine
_HERE = 2  # those that are: one is looked through while what another one holds is written down


def listed(archives: Sequence[Archive], fields: Fields, index: Index) -> Found:
    """What the archives hold, in their order, and each in its own.

    Those that `index` knows as they are now are not looked through again. One that cannot be read
    is a row of `unlisted`, tried again by every run.
    """
    look = partial(_looked, fields=fields, index=index)
    threads = _HERE if all(is_here(one.uri) for one in archives) else _AT_ONCE
    with ThreadPoolExecutor(threads, thread_name_prefix="archive") as pool:
        found = list(pool.map(look, archives))
    none = FILES.empty_table()
    return Found(
        pa.concat_tables([none, *(one.files for one in found)]),
        dict(sorted(sum((one.ignored for one in found), Counter()).items())),
        pa.concat_tables([none, *(one.unlisted for one in found)]),
        dict(sorted(sum((one.beside for one in found), Counter()).items())),
        says=True,
    )


def _looked(archive: Archive, fields: Fields, index: Index) -> Listed:
    try:
        if archive.kind == PARQUET:  # its columns are read in no time
            return _table(archive, fields)
        key = {
            "version": _VERSION,
            "uri": archive.uri,
            "name": archive.name,
            "stamp": archive.stamp,
            "columns": sorted(fields.columns.items()),
            "labels": sorted(fields.labels.items()),
        }
        known = index.get(key) if archive.stamp is not None else None
        if known is not None:
            return _unpacked(known)
        file, size = opened(archive.uri)
        with file:
            found = samples(archive, file, size, fields)
        if archive.stamp is not None:
            index.put(key, _packed(found))
        return found
    except (ValueError, pa.ArrowException) as error:
        return _unread(archive, str(error))
    except OSError as error:
        return _unread(archive, reason(error))


def _unread(archive: Archive, why: str) -> Listed:
    said = transient(f"the archive cannot be listed: {' '.join(why.split())}")
    row = {"uri": f"{archive.kind}://::{archive.uri}", "path": archive.path_of("")}
    path = row["path"] if row["path"].endswith("/") else "/"
    row |= {"path": path, "stamp": archive.stamp, "problem": said}
    return Listed(FILES.empty_table(), pa.Table.from_pylist([row], schema=FILES))


def _packed(found: Listed) -> pa.Table:
    """All of it as one table."""
    counts = {"ignored": found.ignored, "beside": found.beside, "files": len(found.files)}
    table = pa.concat_tables([found.files, found.unlisted])
    return table.replace_schema_metadata({"counts": json.dumps(counts)})


def _unpacked(table: pa.Table) -> Listed:
    counts = json.loads(table.schema.metadata[b"counts"])
    table, files = table.replace_schema_metadata(None), counts["files"]
    ignored, beside = Counter(counts["ignored"]), Counter(counts["beside"])
    return Listed(table.slice(0, files), table.slice(files), ignored, beside)


def _table(archive: Archive, fields: Fields) -> Listed:
    """The rows of a Parquet file."""
    schema = parquet.schema_of(archive.uri)
    image = image_column(archive, schema, fields)
    if missing := fields.missing(schema.names):
        role, name = missing
        hint = nearest(name, schema.names)
        raise UserError(f"there is no column '{name}'", f"{archive.uri} (`{role}: {name}`)", hint)
    rows = parquet.rows(archive.uri, image, fields.wanted)
    number = schema.get_field_index(image)
    names = [str(row) for row in range(rows.count)]
    if rows.paths is not None:
        given = rows.paths.to_pylist()
        names = [path or name for path, name in zip(given, names, strict=True)]
    where = (f"row={row}&column={number}" for row in range(rows.count))
    uris = [
        member_uri(PARQUET, name, archive.uri, place)
        for name, place in zip(names, where, strict=True)
    ]
    columns = {
        "uri": uris,
        "path": [archive.path_of(name) for name in names],
        "bytes": pa.nulls(rows.count, pa.int64()),
        "stamp": [archive.stamp] * rows.count,
        **fields.read(rows.columns, rows.count),
    }
    return Listed(pa.table(columns, schema=FILES))


def image_column(archive: Archive, schema: pa.Schema, fields: Fields) -> str:
    """The column that holds the images; UserError where that cannot be told."""
    found = parquet.image_columns(schema)
    stated = fields.columns.get(IMAGE)
    if stated is not None and stated not in found:
        hint = nearest(stated, found) if found else "no column of this file holds bytes"
        raise UserError(f"the column '{stated}' holds no bytes", archive.uri, hint)
    if stated is not None or len(found) == 1:
        return stated or found[0]
    what = f"several columns hold bytes: {', '.join(found)}" if found else "no column holds bytes"
    raise UserError(what, archive.uri, "name the one of the images: `corpus.columns: {image: …}`")
