"""The images of a corpus, whatever it is: a folder, archives, Parquet files, a table of names."""

import os
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.names import raw_path
from pipeline.corpus.sources import folder, manifest
from pipeline.corpus.sources.filesystems import filesystem, is_local, reason, stamp
from pipeline.corpus.sources.found import (
    FILES,
    IMAGE_SUFFIXES,
    Found,
    raise_nothing_found,
    suffix_of,
)
from pipeline.corpus.sources.packed import archives, parquet
from pipeline.corpus.sources.packed.samples import Archive
from pipeline.corpus.sources.places import in_archive
from pipeline.corpus.sources.source import (
    AUTO,
    ENDS,
    FOLDER,
    MANIFEST,
    PARQUET,
    TAR,
    ZIP,
    Index,
    NoIndex,
    Source,
)
from pipeline.errors import UserError, worded

_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar", ".gz")
_ROOT = "correct `corpus.root`"


def find_images(source: Source, index: Index | None = None) -> Found:
    """The images of a corpus. `index` keeps what archives hold, for the next time.

    Raises UserError where there is no such root, where it cannot be listed or read, where nothing
    is found in it, and where it cannot be told what it is.
    """
    kind, root, inside = in_archive(source.root)
    system, base = filesystem(root, hint=_ROOT)
    try:
        system.invalidate_cache()
        if not system.exists(base):
            raise UserError("there is no such folder or file", root, _ROOT)
        if kind or not system.isdir(base):
            found = _of_file(source, root, inside, kind, index or NoIndex())
        else:
            found = _of_folder(source, root, index or NoIndex())
    except OSError as error:
        hint = "make the root readable: of what lies below it a failed row would tell"
        raise UserError("the root cannot be listed", f"{root}: {reason(error)}", hint) from error
    except UserError:
        raise
    except Exception as error:  # remote filesystems have exceptions of their own
        if is_local(system):
            raise
        hint = "correct it, or what gives access to it"
        raise UserError("the root cannot be listed", f"{root}: {worded(error)}", hint) from error
    if not len(found.files):
        raise_nothing_found(source.root, Counter(found.ignored), found.unlisted)
    return found


def _of_file(source: Source, root: str, inside: str, kind: str, index: Index) -> Found:
    """A root that is one file of a `kind`, or of which only the folder `inside` is meant."""
    kind = kind or _kind_of(root)
    if not kind:
        raise _no_source(root)
    if kind == PARQUET and _names_only(root, source):
        kind = MANIFEST
    if source.kind not in (AUTO, kind):
        what = f"`corpus.source` is {source.kind}, and this file is of the kind {kind}"
        raise UserError(what, root, f"write `source: {kind}`, or {_ROOT}")
    if kind == MANIFEST:
        return manifest.listed(root, source.fields)
    found = archives.listed([Archive(kind, root, "", _stamp_of(root))], source.fields, index)
    return _below(found, inside) if inside else found


def _names_only(root: str, source: Source) -> bool:
    """Whether a Parquet file holds the names of images, and not the images."""
    if source.kind != AUTO:
        return source.kind == MANIFEST
    try:
        return not parquet.image_columns(parquet.schema_of(root))
    except (ValueError, pa.ArrowException) as error:
        raise UserError(f"the Parquet file cannot be read: {error}", root, _ROOT) from error


def _below(found: Found, folder: str) -> Found:
    """What lies below a folder of an archive, and its paths from there on."""
    start, at = f"{folder}/", found.files.schema.get_field_index("path")
    files = found.files.filter(pc.starts_with(found.files["path"], start))
    paths = pc.utf8_slice_codeunits(files["path"], len(start))
    return replace(found, files=files.set_column(at, FILES.field(at), paths))


def _of_folder(source: Source, root: str, index: Index) -> Found:
    """A root that is a folder: of images, or else of archives."""
    kind = source.kind
    if kind == MANIFEST:
        hint = "give the table itself: `corpus.root: …/images.csv`"
        raise UserError("the source is a manifest, and the root is a folder", root, hint)
    if kind in (AUTO, FOLDER):
        found = folder.listed(root)
        if len(found.files) and (source.fields.columns or source.fields.labels):
            hint = "name the table that has them as `corpus.root`; or leave `columns`, `labels` out"
            raise UserError("a folder of images has no columns, and the DAG names some", root, hint)
        if len(found.files) or kind == FOLDER:
            return found
        kind = _only_kind(found, root)
        if not kind:
            return found
    at = folder.listed(root, frozenset(ENDS[kind]))
    if not len(at.files):
        raise UserError(f"there is no {ENDS[kind][0]} below the corpus root", root, _ROOT)
    rows = at.files.select(["uri", "path", "stamp"]).to_pylist()
    all_of_it = [Archive(kind, r["uri"], raw_path(r["path"]), r["stamp"]) for r in rows]
    found = archives.listed(all_of_it, source.fields, index)
    ignored = dict(sorted((Counter(found.ignored) + Counter(at.ignored)).items()))
    unlisted = pa.concat_tables([at.unlisted, found.unlisted])
    return replace(found, ignored=ignored, unlisted=unlisted)


def _only_kind(found: Found, root: str) -> str:
    """What a folder without images has in their place; UserError where it has several."""
    kinds = [kind for kind in (TAR, ZIP, PARQUET) if ENDS[kind][0] in found.ignored]
    if len(kinds) > 1:
        ends = " and ".join(ENDS[kind][0] for kind in kinds)
        hint = f"write which are meant: `corpus.source: {kinds[0]}`"
        raise UserError(f"no images lie below the corpus root, but files {ends}", root, hint)
    return kinds[0] if kinds else ""


def _kind_of(root: str) -> str:
    return next((kind for kind, ends in ENDS.items() if root.lower().endswith(ends)), "")


def _no_source(root: str) -> UserError:
    lower = root.lower()
    if lower.endswith(_PACKED):
        hint = "unpack it: of a .tar, members are found without that"
        return UserError("the corpus root is a packed archive", root, hint)
    what = "the corpus root is a file, not a folder"
    if suffix_of(lower.rpartition("/")[2]) in IMAGE_SUFFIXES:
        return UserError(
            what, root, f"give the folder that holds it: {root.rpartition('/')[0] or '.'}"
        )
    ends = ", ".join(one for some in ENDS.values() for one in some)
    return UserError(f"{what}, and none that holds or names images", root, f"those end in {ends}")


def _stamp_of(root: str) -> str | None:
    system, name = filesystem(root)
    if is_local(system):
        return str(os.stat(name).st_mtime_ns)  # noqa: PTH116
    return stamp(system.info(name))
