"""Names of what is found: uris, and paths below a root."""

import fsspec

from pipeline.corpus import names as spelt
from pipeline.corpus.sources.packed.members import TAR, ZIP, parsed, tidy
from pipeline.corpus.sources.source import ENDS, MANIFEST, PARQUET

_TABLES = (*ENDS[MANIFEST], *ENDS[PARQUET])


def path_below(root: str, uri: str) -> str | None:
    """The `path` that the corpus of `root` gives the file `uri`; None when it is not below `root`.

    What a table names is below the folder that the table lies in. Works on the names alone: nothing
    is opened, and no filesystem's package is needed.
    """
    base, name = plain_name(root), plain_name(uri)
    bases = [base]
    if base.lower().endswith(_TABLES):
        bases.append(base.rpartition("/")[0])
    for one in bases:
        prefix = f"{one}/" if one else ""
        if name.startswith(prefix):
            return spelt.path_of(name[len(prefix) :])
    return None


def uri_of(root: str, system: fsspec.AbstractFileSystem, name: str) -> str:
    """The uri of a name of a filesystem, reached as `root` is: `simplecache::s3://…` stays that."""
    outer, chain, inner = root.partition("::")
    if chain and "://" in outer:
        return f"{outer.partition('://')[0]}://{name}::{inner}"
    return f"{outer}::{system.unstrip_protocol(name)}" if chain else system.unstrip_protocol(name)


def in_archive(root: str) -> tuple[str, str, str]:
    """(kind, archive, folder in it) of a root such as `zip://photos::/data/a.zip`.

    Of every other root ("", root, "").
    """
    outer, chain, inner = root.partition("::")
    kind, mark, folder = outer.partition("://")
    if chain and mark and kind in (TAR, ZIP):
        return kind, inner, folder.strip("/")
    return "", root, ""


def plain_name(uri: str) -> str:
    """A name without its protocol, below what it lies in: zip://a.jpg?…::/c.zip is c.zip/a.jpg."""
    member = parsed(uri)
    if member is not None:
        return f"{plain_name(member.archive)}/{tidy(member.name)}"
    uri = spelt.local_name(uri)
    if uri.startswith("/") or "://" not in uri:  # a local name may hold '::' or '://'
        return uri.strip("/")
    outer, chain, inner = uri.partition("::")
    name = outer.partition("://")[2].strip("/")
    if not chain:
        return name
    return f"{plain_name(inner)}/{name}".rstrip("/")
