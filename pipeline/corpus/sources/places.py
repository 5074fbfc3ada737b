"""Names of what is found: uris, and paths below a root."""

import fsspec

from pipeline.corpus import names as spelt


def path_below(root: str, uri: str) -> str | None:
    """The `path` that `list_files(root)` gives the file `uri`; None when it is not below `root`.

    Works on the names alone: nothing is opened, and no filesystem's package is needed.
    """
    base, name = plain_name(root), plain_name(spelt.local_name(uri))
    prefix = base if base == "" or base.endswith("::") else f"{base}/"
    return spelt.path_of(name[len(prefix) :]) if name.startswith(prefix) else None


def uri_of(root: str, system: fsspec.AbstractFileSystem, name: str) -> str:
    outer, chain, inner = root.partition("::")
    if chain:  # zip://::/data/a.zip becomes zip://member::/data/a.zip
        return f"{outer.partition('://')[0]}://{name}::{inner}"
    return system.unstrip_protocol(name)


def plain_name(uri: str) -> str:
    """A name without its protocol, behind what it lies in: zip://a.jpg::/c.zip is /c.zip::a.jpg."""
    if uri.startswith("/") or "://" not in uri:  # a local name may hold '::' or '://'
        return uri.strip("/")
    outer, chain, inner = uri.partition("::")
    return f"{inner}{chain}{outer.partition('://')[2].strip('/')}"
