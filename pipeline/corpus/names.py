"""Names of files as text, whatever their bytes are.

A local name is bytes. Where they are UTF-8, the name is that text, letter by letter (NFC and NFD
are two names). Where they are not, all of it is percent-encoded, as RFC 3986 and RFC 8089 write
such names: the uri is `file:///data/caf%E9.jpg`, the path below the root `./caf%E9.jpg`. No plain
name looks like that (a uri begins with `/`, no path below a root with `./`), so the bytes can
always be had back, and a file that is called `caf%E9.jpg` is another one.
"""

import os
import re
from urllib.parse import quote, unquote_to_bytes

from pipeline.corpus.layouts.vocabulary import is_generator, named_label, split_of

_URL, _PATH = "file://", "./"
_ARCHIVES = (".tar", ".zip", ".parquet")
_SHARD = re.compile(r"[-_.]?[0-9]{3,}([-_.]?of[-_.]?[0-9]+)?(-[0-9a-f]{16})?$")


def is_text(name: str) -> bool:
    """Whether a name as Python has it is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def uri_of(name: str) -> str:
    """The uri of a full local name."""
    return name if is_text(name) else _URL + _quoted(name)


def encoded_uri(uri: str) -> str:
    """The beginning of the uris of files below a local folder whose own names are not UTF-8."""
    return _URL + _quoted(uri) if uri.startswith("/") else uri


def path_of(name: str) -> str:
    """The path of a name below the root."""
    return name if is_text(name) else _PATH + _quoted(name)


def raw_path(path: str) -> str:
    """The name of a path below the root, as Python has it."""
    return os.fsdecode(unquote_to_bytes(path[2:])) if path.startswith(_PATH) else path


def local_name(uri: str) -> str:
    """The full local name of a uri; a name that is no encoded one is itself."""
    if not uri.startswith(f"{_URL}/"):
        return uri
    return os.fsdecode(unquote_to_bytes(uri.removeprefix(_URL)))


def folders_of(path: str) -> tuple[str, ...]:
    """The folders of a path, outermost first, for people to read: each is text.

    One that is not UTF-8 is percent-encoded, the others are as they are. An archive that files lie
    in is a folder called as it is without its suffix. One of many, with a number of three digits or
    more at its end, is none, unless it is called by a word of the layouts: what is in `train-00001-
    of-00009.parquet` lies in train.
    """
    folders = readable(path).split("/")[:-1]
    if not any(name.endswith(_ARCHIVES) for name in folders):
        return tuple(folders)
    called = (_called(name) if name.endswith(_ARCHIVES) else name for name in folders)
    return tuple(name for name in called if name)


def _called(archive: str) -> str:
    stem = archive.rpartition(".")[0]
    word = _SHARD.sub("", stem)
    known = named_label(word) is not None or split_of(word) is not None or is_generator(word)
    return word if word == stem or known else ""


def readable(path: str) -> str:
    """A path as text in which only the names that are not UTF-8 are percent-encoded."""
    if not path.startswith(_PATH):
        return path
    names = raw_path(path).split("/")
    return "/".join(name if is_text(name) else _quoted(name) for name in names)


def _quoted(name: str) -> str:
    return quote(os.fsencode(name))
