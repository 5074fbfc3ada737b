"""Reads CoNLL-U treebanks, one sentence at a time.

Format: https://universaldependencies.org/format.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError


@dataclass(frozen=True)
class Sentence:
    """Syntactic words, whether a space follows each, universal tags (UPOS) and lemmas.

    A lemma is empty where the treebank gives none (the second half of a word split by mistake).
    """

    words: list[str]
    spaces: list[bool]
    tags: list[str]
    lemmas: list[str]


def read_conllu(path: Path) -> Iterator[Sentence]:
    """Yields the sentences of a file, holding only one of them in memory.

    A multiword token (`3-4 don't`) gives its words with no space between them and its own spacing
    after the last; empty nodes (`5.1`) are left out, because they stand for no text. A `_` in the
    tag column of a word (a copy error in some treebanks) is a ValueError with the line number.
    """
    if not path.is_file():
        raise UserError(
            "treebank file not found", str(path), "give the folder of the .conllu files"
        )
    rows: list[tuple[str, bool, str, str]] = []
    joined_until, joined_space = 0, True
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if not line:
                if rows:
                    yield _sentence(rows)
                rows, joined_until = [], 0
                continue
            if line.startswith("#"):
                continue
            columns = line.split("\t")
            if len(columns) != 10:
                raise ValueError(f"{path}:{number}: {len(columns)} columns instead of 10")
            spaced = "SpaceAfter=No" not in columns[9].split("|")
            if "-" in columns[0]:
                joined_until, joined_space = int(columns[0].split("-")[1]), spaced
                continue
            if "." in columns[0]:
                continue
            if columns[3] == "_":
                raise ValueError(f"{path}:{number}: the word {columns[1]!r} has no tag")
            position = int(columns[0])
            if position < joined_until:
                spaced = False
            elif position == joined_until:
                spaced = joined_space
            rows.append((columns[1], spaced, columns[3], _lemma(columns)))
    if rows:
        yield _sentence(rows)


def _lemma(columns: list[str]) -> str:
    """The lemma column; `_` means "none" unless the word itself is an underscore."""
    return "" if columns[2] == "_" and columns[1] != "_" else columns[2]


def _sentence(rows: list[tuple[str, bool, str, str]]) -> Sentence:
    words, spaces, tags, lemmas = (list(column) for column in zip(*rows, strict=True))
    return Sentence(words, spaces, tags, lemmas)
