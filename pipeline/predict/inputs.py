"""What a user names to be judged: files, folders, archives, addresses, lists of all these."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from pipeline.corpus import names as spelt
from pipeline.corpus.sources.find import find_images
from pipeline.corpus.sources.found import FILES, IMAGE_SUFFIXES, suffix_of
from pipeline.corpus.sources.source import ENDS, TAR, ZIP, Source
from pipeline.errors import UserError

STDIN, LIST = "-", "@"
_PACKED = (*ENDS[TAR], *ENDS[ZIP], ".parquet")
_LISTS = frozenset((".txt", ".lst", ".list", ".csv"))


class File(NamedTuple):
    """One image to be judged, or what was named and is none.

    `path`: as it was named, as text. `uri`: what is read. `problem`: why there is nothing to read.
    """

    path: str
    uri: str | None
    problem: str | None = None


def found(words: Sequence[str], stdin: Callable[[], bytes]) -> list[File]:
    """The files of all words, in their order; a word that names none is one file with a problem.

    A word is a file, a folder (all images below it), a .tar, .zip or .parquet of images, an
    address of any of these; `@FILE`, a text file with one such word a line, or `-`, the same from
    `stdin`. Paths in a list are relative to the current folder, as everywhere on a command line;
    where a list has a null byte, words end at null bytes (`find … -print0`).
    """
    files: list[File] = []
    for word in words:
        if word == STDIN or word.startswith(LIST):
            files += _listed(word, stdin)
        else:
            files += _named(word)
    return files


def _listed(word: str, stdin: Callable[[], bytes]) -> list[File]:
    shown = "stdin" if word == STDIN else spelt.readable(spelt.path_of(word))
    try:
        data = stdin() if word == STDIN else _content(word.removeprefix(LIST))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return [File(shown, None, f"the list cannot be read: {why}")]
    mark = b"\0" if b"\0" in data else b"\n"
    lines = (line if mark == b"\0" else line.rstrip(b"\r") for line in data.split(mark))
    words = [os.fsdecode(line) for line in lines if line.strip()]
    files = [file for one in words for file in _named(one)]
    return files or [File(shown, None, "the list names no file")]


def _content(path: str) -> bytes:
    with open(path, "rb") as stream:  # noqa: PTH123 (a name with a null byte is a ValueError)
        return stream.read()


def _named(word: str) -> Iterator[File]:
    shown = spelt.readable(spelt.path_of(word))
    suffix = suffix_of(word.rpartition("/")[2])
    if "://" in word and not os.path.exists(word):  # noqa: PTH110
        if suffix in IMAGE_SUFFIXES:
            yield File(shown, word)
        else:
            yield from _below(word, shown)
    elif "\0" in word or not os.path.lexists(word):
        yield File(shown, None, "there is no such file or folder")
    elif os.path.isdir(word) or word.lower().endswith(_PACKED):  # noqa: PTH112
        yield from _below(word, shown)
    elif suffix in _LISTS:
        yield File(shown, None, f"this is no image; a list of paths is given as @{shown}")
    else:
        yield File(shown, spelt.uri_of(os.path.abspath(word)))  # noqa: PTH100 (links stay)


def _below(word: str, shown: str) -> Iterator[File]:
    """The images of a folder, or of an archive."""
    root = word if "://" in word else os.path.abspath(word)  # noqa: PTH100
    try:
        there = find_images(Source(root))
    except UserError as error:
        why = error.what if error.where in (None, root) else f"{error.what} ({error.where})"
        yield File(shown, None, why.replace("the corpus root", "it"))
        return
    for rows in (there.files, there.unlisted):
        for row in rows.select(["uri", "path", "problem"]).to_pylist():
            path = f"{shown.rstrip('/')}/{spelt.readable(row['path'])}"
            yield File(path, row["uri"], row["problem"])


def table(files: Sequence[File]) -> pa.Table:
    """Those that can be read, as the stage `listing` takes them."""
    uris = [file.uri for file in files]
    columns = {"uri": uris, "path": [file.path for file in files]}
    arrays = [
        pa.array(columns[name], kind) if name in columns else pa.nulls(len(files), kind)
        for name, kind in zip(FILES.names, FILES.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=FILES)
