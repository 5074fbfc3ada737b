"""How much there is to read in files, and whether it is near, before any of them is opened."""

import os
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.names import local_name
from pipeline.corpus.sources.packed.members import archives_of
from pipeline.corpus.sources.read import is_here

_UNSURE = 2**22  # bytes of a file that nobody says the bytes of


def all_here(files: pa.Table) -> bool:
    """Whether files (schema `found.FILES`), or what they are in, lie on this machine's disks."""
    uris = files["uri"]
    if pc.all(pc.starts_with(uris, "/")).as_py() is not False:
        return True
    return all(map(is_here, pc.unique(archives_of(uris)).to_pylist()))


def bytes_of(files: pa.Table) -> int:
    """The bytes of files, as far as that can be told.

    Where nobody says them, those of the whole table on this machine that they are in.
    """
    unsure = files.filter(pc.is_null(files["bytes"]))["uri"]
    tables = archives_of(unsure)
    found = pc.unique(tables.filter(pc.not_equal(tables, unsure))).to_pylist()
    sizes = {table: size for table in found if (size := _size(table)) is not None}
    said = pc.is_in(tables, pa.array(sizes, pa.string()))
    others = len(unsure) - (pc.sum(said).as_py() or 0)
    return (pc.sum(files["bytes"]).as_py() or 0) + sum(sizes.values()) + others * _UNSURE


def _size(table: str) -> int | None:
    if is_here(table):
        with suppress(OSError):
            return os.stat(local_name(table)).st_size  # noqa: PTH116
    return None
