"""Prints how well a parser's noun phrases match phrases that a person wrote.

    python -m tests.benchmarks.phrases GOLD [--model NAME] [--half NAME] [--show]

GOLD is JSON lines, one caption each: {"caption": text, "phrases": [[phrase, head lemma], ...]}, and
"half" where the file holds a part to look at and a part kept for the figure. Phrases are compared
in lower case with single spaces, within their caption, repeated ones counted each. Precision and
recall are over all phrases of all captions (micro).
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

from pipeline.models.parser.parser import BUNDLED, Phrase, load


@dataclass(frozen=True)
class Gold:
    """A caption and the (phrase, head lemma) pairs that a person found in it."""

    caption: str
    phrases: list[tuple[str, str]]
    half: str = ""


@dataclass(frozen=True)
class Score:
    """Counts over captions: phrases that are right, found, and in the gold."""

    right: int
    found: int
    gold: int

    @property
    def precision(self) -> float:
        """Share of the found phrases that are right; nan where none is found."""
        return self.right / self.found if self.found else nan

    @property
    def recall(self) -> float:
        """Share of the gold's phrases that are found; nan where there are none."""
        return self.right / self.gold if self.gold else nan


def read(file: Path, half: str | None = None) -> list[Gold]:
    """The captions of a gold file, or those of one half of it."""
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    gold = [
        Gold(row["caption"], [(text, head) for text, head in row["phrases"]], row.get("half", ""))
        for row in rows
    ]
    return [one for one in gold if half in (None, one.half)]


def score(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> Score:
    """Phrases (or heads) of each caption against the gold's, as multisets."""
    pairs = list(zip(gold, found, strict=True))
    right = sum((Counter(a) & Counter(b)).total() for a, b in pairs)
    return Score(right, sum(len(b) for _, b in pairs), sum(len(a) for a, _ in pairs))


def rows(gold: Sequence[Gold], found: Sequence[Sequence[Phrase]]) -> list[tuple[str, Score]]:
    """(what, score): the phrases, the heads' lemmas, and both at once."""
    kinds: dict[str, Callable[[str, str], str]] = {
        "phrases": lambda phrase, head: phrase,
        "head lemmas": lambda phrase, head: head,
        "phrases with lemmas": lambda phrase, head: f"{phrase}\t{head}",
    }
    return [
        (
            what,
            score(
                [[of(text, head) for text, head in one.phrases] for one in gold],
                [[of(phrase.phrase, phrase.head) for phrase in phrases] for phrases in found],
            ),
        )
        for what, of in kinds.items()
    ]


def main() -> None:
    """Prints a table, and with --show each caption that is not exactly right."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("gold", type=Path)
    arguments.add_argument("--model", default=BUNDLED)
    arguments.add_argument("--half")
    arguments.add_argument("--show", action="store_true")
    options = arguments.parse_args()
    gold = read(options.gold, options.half)
    found = load(options.model).noun_phrases([one.caption for one in gold])
    for one, phrases in zip(gold, found, strict=True):
        pairs = [(phrase.phrase, phrase.head) for phrase in phrases]
        if options.show and pairs != one.phrases:
            missing = Counter(one.phrases) - Counter(pairs)
            wrong = Counter(pairs) - Counter(one.phrases)
            print(one.caption, f"  missing {sorted(missing)}", f"  wrong {sorted(wrong)}", sep="\n")
    print(f"{len(gold)} captions, {options.model}")
    for what, result in rows(gold, found):
        counts = f"({result.right} right, {result.found} found, {result.gold} in the gold)"
        print(f"{what:20} precision {result.precision:.3f}, recall {result.recall:.3f} {counts}")


if __name__ == "__main__":
    main()
