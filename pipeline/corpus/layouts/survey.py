"""What a layout makes of a whole corpus: which folders say what, of how many images."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.corpus.layouts.labels import Folders, Labels, Misfit
from pipeline.corpus.layouts.plain import UNLABELLED
from pipeline.corpus.layouts.registry import REGEX, Reading
from pipeline.corpus.layouts.said import labels_of
from pipeline.corpus.names import folders_of, readable
from pipeline.corpus.sources.found import Found
from pipeline.errors import many

_SHOWN = 24  # rows of the table: a screen
_EXAMPLES = 10
_WORDS = {0: "real", 1: "fake", None: "-"}


@dataclass(frozen=True)
class Row:
    """One line of the mapping: what all the images say that lie in folders of a pattern.

    In `folders` `*` is any name, and `**` any number of them.
    """

    folders: str
    label: int | None
    generator: str | None
    split: str | None
    images: int


@dataclass(frozen=True)
class Survey:
    """How the paths of a corpus are read.

    `counts`: place -> how many paths lie there (a place is a folder, or what of a folder says the
    same by a pattern); `first`: place -> the first of them; `found`: place -> what that path says.
    """

    reading: Reading
    counts: dict[str, int]
    first: dict[str, str]
    found: dict[str, Labels | Misfit]

    @cached_property
    def paths(self) -> int:
        """How many there are in all."""
        return sum(self.counts.values())

    @cached_property
    def misfits(self) -> int:
        """How many paths do not fit."""
        return sum(self.counts[p] for p, one in self.found.items() if isinstance(one, Misfit))

    @property
    def fitting(self) -> list[Folders]:
        """The folders of all paths that fit, each once."""
        fit = (place for place, one in self.found.items() if isinstance(one, Labels))
        return list(dict.fromkeys(folders_of(self.first[place]) for place in fit))

    def rows(self) -> list[Row]:
        """The mapping, by split, generator and label; what does not fit is not in it."""
        groups: dict[tuple, tuple[int, Folders]] = {}
        for place, one in self.found.items():
            if isinstance(one, Labels):
                key = (one.label, one.generator, one.split)
                folders = folders_of(self.first[place])
                images, pattern = groups.get(key, (0, folders))
                groups[key] = (images + self.counts[place], _both(pattern, folders))
        rows = [Row("/".join(p) or ".", *key, images) for key, (images, p) in groups.items()]
        return sorted(rows, key=lambda row: tuple(map(str, (row.split, row.generator, row.label))))

    def causes(self) -> list[tuple[str, str, int]]:
        """(why paths do not fit, one of them, how many there are), the most frequent first."""
        counts, example = Counter[str](), dict[str, str]()
        for place, one in self.found.items():
            if isinstance(one, Misfit):
                counts[str(one)] += self.counts[place]
                example.setdefault(str(one), readable(self.first[place]))
        return [(why, example[why], images) for why, images in counts.most_common()]

    def lines(self) -> Iterator[str]:
        """The mapping as a table of at most a screen."""
        rows, layout = self.rows(), self.reading.layout
        said = layout == UNLABELLED.name and any(row.label is not None for row in rows)
        how = "as the source says them" if said else f"by the layout {layout}"
        yield f"labels {how}, of {many(self.paths, 'image file')}:"
        cells = [("folders", "label", "generator", "split", "images")] + [
            (r.folders, _WORDS[r.label], r.generator or "-", r.split or "-", f"{r.images:,}")
            for r in rows[:_SHOWN]
        ]
        widths = [max(len(row[i]) for row in cells) for i in range(5)]
        for *texts, number in cells:
            aligned = [text.ljust(width) for text, width in zip(texts, widths, strict=False)]
            yield "  ".join(["", *aligned, number.rjust(widths[4])])
        if more := rows[_SHOWN:]:
            images = sum(row.images for row in more)
            yield f"  and {many(len(more), 'row')} more, {many(images, 'image')}"
        for why, example, images in self.causes()[:3]:
            yield f"  {images:,} without labels, such as {example}: {why}"

    def examples(self) -> Iterator[str]:
        """Ten paths, evenly spaced over the places, with what is read of each."""
        places = sorted(self.first, key=self.first.__getitem__)
        few = [places[i * len(places) // _EXAMPLES] for i in range(_EXAMPLES)]
        for place in dict.fromkeys(few):
            one = self.found[place]
            said = str(one) if isinstance(one, Misfit) else _in_words(one)
            yield f"  {readable(self.first[place])}: {said}"

    def plain(self) -> dict[str, Any]:
        """The mapping for machines."""
        return {
            "layout": self.reading.layout,
            "mapping": [vars(row) for row in self.rows()],
            "misfits": [
                {"reason": why, "example": example, "images": images}
                for why, example, images in self.causes()
            ],
        }


def survey(reading: Reading, paths: Sequence[str]) -> Survey:
    """How `reading` reads these paths below a root (posix)."""
    if reading.layout == REGEX:
        return _grouped(reading, paths, reading.read(paths))
    counts, first = Counter[str](), dict[str, str]()
    for path in paths:
        place = path.rpartition("/")[0]
        counts[place] += 1
        first.setdefault(place, path)
    return again(reading, dict(counts), first)


def survey_files(reading: Reading, found: Found) -> Survey:
    """How the files of a corpus are read: their paths, and what the source says of them."""
    paths = found.files["path"].to_pylist()
    if not found.says:
        return survey(reading, paths)
    return _grouped(reading, paths, labels_of(reading, found.files))


def _grouped(reading: Reading, paths: Sequence[str], said: Sequence[Labels | Misfit]) -> Survey:
    """The survey of paths of which each says something of its own."""
    counts, first = Counter[str](), dict[str, str]()
    found: dict[str, Labels | Misfit] = {}
    for path, one in zip(paths, said, strict=True):
        place = f"{path.rpartition('/')[0]}/{id(one)}"
        counts[place] += 1
        if place not in first:
            first[place], found[place] = path, one
    return Survey(reading, dict(counts), first, found)


def again(reading: Reading, counts: dict[str, int], first: dict[str, str]) -> Survey:
    """The survey of places that are known."""
    found = dict(zip(first, reading.read(list(first.values())), strict=True))
    return Survey(reading, counts, first, found)


def _in_words(one: Labels) -> str:
    said = [_WORDS[one.label] if one.label is not None else "no label"]
    named = {"generator": one.generator, "split": one.split, "class": one.class_name}
    return ", ".join(said + [f"{name} {value}" for name, value in named.items() if value])


def _both(one: Folders, other: Folders) -> Folders:
    """The pattern of two folders: of their differing names, `*` each or `**` all."""
    if one == other:
        return one
    if len(one) == len(other) and "**" not in one:
        return tuple(a if a == b else "*" for a, b in zip(one, other, strict=True))
    start, end, shorter = 0, 0, min(len(one), len(other))
    while start < shorter and one[start] == other[start] != "**":
        start += 1
    while end < shorter - start and one[-1 - end] == other[-1 - end] != "**":
        end += 1
    return (*one[:start], "**", *(one[len(one) - end :]))
