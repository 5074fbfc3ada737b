"""Our rule for what counts as an object of a caption: noun phrases by part-of-speech pattern.

ITEM does not publish its parser; this rule is ours. It needs tags (UPOS) and lemmas only, so it
gives the same kind of result with any spaCy pipeline that sets `pos`:

1. Words joined by a hyphen are one unit: `t-shirt` is a noun, `two-story` a modifier.
2. A phrase is a maximal run of adjectives and nouns that ends in a noun. Numerals may stand
   inside it; `black and white dog` and `large, brown dog` are one phrase; a participle belongs to
   it after an article or an adjective (`a smiling woman`), as does an adverb in -ly before one
   (`a brightly colored kite`). Coordinated nouns are separate phrases.
   Where a tagger took a verb for a noun, grammar helps: `a dog waits` is a dog, because `a` needs
   a singular.
3. Articles, possessives, numerals and quantifiers in front are stripped (`two`, `his`, `several`).
4. Some nouns are not objects in themselves: places in the picture (`background`, `left`), the
   picture itself (`photo`, `view`), times; `group`, `set`, `pair` and the like in front of `of`
   (`a group of people` names people); `top`, `corner`, `edge` and the like, and colours (`dressed
   in black`), when nothing but a place describes them (`a red top` stays); what is done rather
   than seen: a lone noun in -ing without an article (`surfing`, but not `clothing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Phrase:
    """A noun phrase; `caption[start:end]` is its text as written.

    `phrase` is that text case-folded with single spaces, `head` the lemma of its last noun.
    """

    phrase: str
    head: str
    start: int
    end: int


@dataclass(frozen=True)
class Word:
    """One token: text, universal tag, lemma (may be empty), character offset in the caption."""

    text: str
    tag: str
    lemma: str
    start: int

    @property
    def end(self) -> int:
        """Offset after the last character."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class _Unit:
    """A word, or several joined by hyphens; `kind` is what the rule makes of it."""

    kind: str
    text: str  # case-folded
    lemma: str  # case-folded
    start: int
    end: int


_HYPHENS = {"-", "\u2010", "\u2011"}


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUANTIFIERS = _listed(
    "another several many few multiple various numerous other own same such more most much single "
    "different certain extra countless assorted"
)
_COUNT_NOUNS = {"couple", "dozen"}  # `a couple dogs`
_SINGULAR_ARTICLES = {"a", "an", "another", "each", "every"}

# never objects in themselves
_PSEUDO = _listed(
    "background foreground left right front middle side distance direction way "
    "picture photo photograph image view close-up closeup shot snapshot "
    "day daytime night nighttime time morning afternoon evening moment midair mid-air air "
    "other others one thing"
)
# not objects in front of `of`
_PARTITIVE = _listed(
    "group couple pair bunch kind type sort set series variety number row line pile stack piece "
    "lot part bit slice collection assortment array handful cluster range selection mix "
    "style version member dozen hundred thousand body pack herd flock team "
    "painting drawing illustration portrait sketch render rendering"
)
# not objects when bare, when only a place describes them, or in front of `of`
_POSITIONS = _listed(
    "top back bottom end edge corner center centre rear area part spot place position scene "
    "base surface inside outside interior exterior lot "
    "black white red blue green yellow brown purple pink gray grey"
)
# things, unlike most bare nouns in -ing (`surfing`, `fishing`), which name what is done
_THINGS_IN_ING = _listed(
    "bedding building bunting ceiling clothing earring flooring icing king lighting lightning "
    "painting pudding railing ring scaffolding seating sling spring string swing wing writing"
)
_PLACE_MODIFIERS = _listed(
    "far near very upper lower left right opposite outer inner front back top bottom right-hand "
    "left-hand hand"
)


def find_phrases(caption: str, words: Sequence[Word]) -> list[Phrase]:
    """The noun phrases of a tagged caption, in the order of the text."""
    units = _units(caption, words)
    phrases, position = [], 0
    while position < len(units):
        stop = _run(units, position)
        run = list(units[position:stop])
        while run and run[-1].kind != "noun":
            run.pop()
        if len(run) > 1 and run[0].text in _COUNT_NOUNS:
            run = run[1:]
        elif position and units[position - 1].text in _SINGULAR_ARTICLES:
            while _ends_in_verb(run):
                run.pop()
        following = units[stop].text if stop < len(units) else ""
        before = units[position - 1].kind if position else "start"
        if run and _is_object(run, following) and not _is_activity(run, before):
            phrases.append(_phrase(caption, run))
        position = max(stop, position + 1)
    return phrases


def _is_object(run: Sequence[_Unit], following: str) -> bool:
    head = run[-1].lemma
    if head in _PSEUDO or run[-1].text in _PSEUDO:
        return False
    if following == "of" and (head in _PARTITIVE or head in _POSITIONS):
        return False
    return head not in _POSITIONS or any(unit.text not in _PLACE_MODIFIERS for unit in run[:-1])


def _ends_in_verb(run: Sequence[_Unit]) -> bool:
    """Whether the last noun is a plural after another noun: `a dog waits`, `a race car zooms`."""
    if len(run) < 2 or run[-2].kind != "noun":
        return False
    word = run[-1].text
    return word.endswith("s") and not word.endswith(("ss", "us", "is")) and word != run[-1].lemma


def _is_activity(run: Sequence[_Unit], before: str) -> bool:
    alone = len(run) == 1 and before != "determiner"
    return alone and run[0].text.endswith("ing") and run[0].text not in _THINGS_IN_ING


def _phrase(caption: str, run: Sequence[_Unit]) -> Phrase:
    start, end = run[0].start, run[-1].end
    text = " ".join(caption[start:end].casefold().split())
    return Phrase(text, run[-1].lemma, start, end)


def _run(units: Sequence[_Unit], first: int) -> int:
    """Index after the run of modifiers and nouns that begins at `first` (`first`: none does)."""
    before = units[first - 1].kind if first else "start"
    position, seen_noun = first, False
    while position < len(units):
        kind = units[position].kind
        after = units[position + 1].kind if position + 1 < len(units) else "end"
        last = units[position - 1].kind if position > first else before
        describes = after in {"modifier", "participle", "noun"}
        if position == first and before == "auxiliary" and units[first].text.endswith("ing"):
            break  # `is stacking rocks`, whatever the tagger made of it
        if kind == "noun":
            seen_noun = True
        elif kind == "number":
            if position == first or not describes:
                break
        elif kind == "participle":
            if last not in {"determiner", "modifier", "adverb"} or not describes or seen_noun:
                break
        elif kind == "adverb":
            if last != "determiner" or after not in {"modifier", "participle"}:
                break
        elif kind in {"comma", "and"}:
            joined = _joined_modifier(units, position)
            allowed = position > first and last == "modifier" and before != "auxiliary"
            if seen_noun or not allowed or not joined:
                break
            position = joined
        elif kind != "modifier":
            break
        position += 1
    return position


def _joined_modifier(units: Sequence[_Unit], position: int) -> int:
    """Index of the modifier after `,`, `and` or `, and` at `position`; 0 if none follows."""
    position += 1
    if units[position - 1].kind == "comma" and position < len(units):
        position += units[position].kind == "and"
    is_modifier = position < len(units) and units[position].kind == "modifier"
    return position if is_modifier else 0


def _units(caption: str, words: Sequence[Word]) -> list[_Unit]:
    units, first = [], 0
    while first < len(words):
        last = first
        while last + 2 < len(words) and _hyphen_joins(words, last + 1):
            last += 2
        units.append(_unit(caption, words[first], words[last]))
        first = last + 1
    return units


def _hyphen_joins(words: Sequence[Word], at: int) -> bool:
    left, hyphen, right = words[at - 1 : at + 2]
    touching = left.end == hyphen.start and hyphen.end == right.start
    return hyphen.text in _HYPHENS and touching


def _unit(caption: str, first: Word, last: Word) -> _Unit:
    text = caption[first.start : last.end].casefold()
    lemma = (caption[first.start : last.start] + (last.lemma or last.text)).casefold()
    kind = _kind(last, text)
    if first is not last and kind != "noun":
        kind = "noun" if text in _PSEUDO else "modifier"
    return _Unit(kind, text, lemma, first.start, last.end)


def _kind(word: Word, text: str) -> str:
    if word.tag == "ADJ":
        return "determiner" if text in _QUANTIFIERS else "modifier"
    if word.tag == "VERB":
        return "participle" if text.endswith(("ing", "ed", "en")) else "other"
    if word.tag == "ADV":
        return "adverb" if text.endswith("ly") else "other"
    if word.tag == "PRON":
        return "determiner" if text in {"his", "her", "its", "their", "my", "our"} else "other"
    if word.tag == "CCONJ":
        return "and" if text in {"and", "or", "&"} else "other"
    if text == ",":
        return "comma"
    kinds = {"NOUN": "noun", "PROPN": "noun", "NUM": "number", "DET": "determiner"}
    return kinds.get(word.tag, "auxiliary" if word.tag == "AUX" else "other")
