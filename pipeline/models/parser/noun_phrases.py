"""Our rule for what counts as an object of a caption: noun phrases by part-of-speech pattern.

ITEM does not publish its parser; this rule is ours. It needs tags (UPOS) only, so it gives the same
kind of result with any spaCy pipeline that sets `pos`:

1. Words joined by a hyphen are one unit: `t-shirt` is a noun, `two-story` a modifier.
2. A phrase is a maximal run of adjectives and nouns that ends in a noun, never in a verb. Numerals
   may stand inside it; `black and white dog` and `large, brown dog` are one phrase. A participle
   belongs to it when it describes: after an article or an adjective (`a smiling woman`); in -ed
   where a phrase begins (`with braided hair`); in -ing there if things are or are used so
   (`falling snow`, `hiking boots`); between nouns when it joins them (`a snow covered field`). So
   does an adverb in -ly before one (`a brightly colored kite`). Coordinated nouns are separate
   phrases. Where a tagger took a verb for a noun or a noun for a verb, grammar settles it
   (`agreement.py`); heads are lemmas by spelling (`lemmas.py`).
3. Articles, possessives, numerals and quantifiers in front are stripped (`two`, `his`, `several`).
4. Some nouns are not objects in themselves: places in the picture (`background`, `left`), the
   picture itself (`photo`, `view`), times (also `at sunset`, `in autumn`); `group`, `set`, `pair`
   and the like in front of `of` (`a group of people` names people); `top`, `corner`, `edge` and the
   like, and colours (`dressed in black`), when nothing but a place describes them (`a red top`
   stays); what is done rather than seen: a lone noun in -ing without an article (`surfing`, but not
   `clothing`), a sport (`rock climbing`); how somebody lies or stands (`face down`, `knee deep`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.models.parser.agreement import settle
from pipeline.models.parser.lemmas import is_plural, lemma
from pipeline.models.parser.vocabulary import ALWAYS_DONE, COLOURS, HYPHENS, is_participle
from pipeline.models.parser.words import Word


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
class _Unit:
    """A word, or several joined by hyphens; `kind` is what the rule makes of it."""

    kind: str
    text: str  # case-folded
    start: int
    end: int


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUANTIFIERS = _listed(
    "another several many few multiple various numerous other own same such more most much single "
    "different certain extra countless assorted only"
)
_COUNT_NOUNS = {"couple", "dozen"}  # `a couple dogs`

# never objects in themselves
_PSEUDO = _listed(
    "background foreground left right front middle side distance direction way picture photo "
    "photograph image view close-up closeup shot snapshot day daytime night nighttime time "
    "morning afternoon evening moment midair mid-air air other others one thing"
)
# not objects in front of `of`
_PARTITIVE = _listed(
    "group couple pair bunch kind type sort set series variety number row line pile stack piece "
    "lot part bit slice collection assortment array handful cluster range selection mix style "
    "version member dozen hundred thousand body pack herd flock team painting drawing "
    "illustration portrait sketch render rendering"
)
# not objects when bare, when only a place describes them, or in front of `of`
_POSITIONS = _listed(
    "top back bottom end edge corner center centre rear area part spot place position scene base "
    "surface inside outside interior exterior lot black white red blue green yellow brown purple "
    "pink gray grey kind sort type"
)
# adjectives that a tagger may take for nouns
_ADJECTIVES = _listed(
    "barefoot cloudy curly dusty fluffy foggy furry fuzzy grassy hilly icy leafy misty muddy "
    "murky rainy rocky rusty sandy scruffy shaggy shirtless snowy stormy sunny woolly"
)
_DESCRIBED = {"modifier", "participle", "noun"}
# what things in -ing do of themselves, in front of them: `falling snow`, `smiling children`
_DESCRIBING_ING = _listed(
    "barking blooming rolling floating bouncing spinning burning crashing crying falling flowing "
    "flying glowing grazing laughing matching melting moving overhanging overlapping rising "
    "rushing setting shining sleeping smiling snarling sparkling surrounding swirling threatening "
    "towering"
)
# `hiking boots`: what is done with a thing, and the things
_FOR_DOING = _listed(
    "baking bathing biking breathing bowling boxing camping climbing coloring cooking cutting "
    "cycling dancing dining diving drawing drinking fishing folding hiking hunting jogging "
    "landing painting parking rafting kayaking exercising playing racing reading riding rocking "
    "rolling rowing running sewing shopping skating skiing sleeping snowboarding surfing swimming "
    "throwing training walking washing watering welding wrestling writing"
)
_USED = _listed(
    "apparatus area bag board boat book boot can cap car card cart chair class clothes costume "
    "dress equipment field gear glasses goggles hat helmet horse instrument jersey lot machine "
    "mask mat outfit pad paper pen pin pole pool ring rink rod room shirt shoe shorts stick suit "
    "table tank tights toy trail trunk uniform utensil vest wall"
)
# `a snow covered field`
_AFTER_NOUNS = _listed(
    "clad coated colored coloured covered decorated draped drawn encrusted eyed filled floored "
    "haired infested lined looking made patterned powered shaped sized soaked strewn striped "
    "studded themed topped"
)
_PRONOUNS = _listed("all both each")
_HOURS = _listed("dawn dusk midnight noon sunrise sunset twilight")
_SEASONS = _listed("autumn fall spring summer winter wintertime summertime")
_PLACE_MODIFIERS = _listed(
    "far near very upper lower left right opposite outer inner front back top bottom right-hand "
    "left-hand hand"
)

_ALSO_PREPOSITIONS = _listed("around in like of on over past through with")  # tagged SCONJ
_KINDS = {"NUM": "number", "DET": "determiner", "AUX": "auxiliary", "ADP": "preposition"}


def find_phrases(caption: str, words: Sequence[Word]) -> list[Phrase]:
    """The noun phrases of a tagged caption, in the order of the text."""
    units = _units(caption, settle(words))
    phrases, position = [], 0
    while position < len(units):
        stop = _run(units, position)
        run = list(units[position:stop])
        while run and run[-1].kind != "noun":
            run.pop()
        after = position + len(run)
        following = units[after].text if after < len(units) else ""
        if len(run) > 1 and run[0].text in _COUNT_NOUNS:
            run = run[1:]
        before = units[position - 1].kind if position else "start"
        named = run and _is_object(run, following) and not _is_activity(run, before)
        if named and not (len(run) == 1 and _is_time(units, position)):
            phrases.append(_phrase(caption, run, following))
        position = max(stop, position + 1)
    return phrases


def _is_object(run: Sequence[_Unit], following: str) -> bool:
    head = lemma(run[-1].text)
    how = (head == "face" and following in {"down", "first"}) or following == "deep"
    if how and len(run) == 1:  # `lying face down`, `knee deep`
        return False
    if head in _PSEUDO or run[-1].text in _PSEUDO:
        return False
    if following == "of" and (head in _PARTITIVE or head in _POSITIONS):
        return False
    return head not in _POSITIONS or any(unit.text not in _PLACE_MODIFIERS for unit in run[:-1])


def _is_time(units: Sequence[_Unit], noun: int) -> bool:
    """Whether a noun without adjectives says when: `at sunset`, `in the fall`."""
    before = [unit.text for unit in units[max(noun - 2, 0) : noun]]
    if units[noun].text in _HOURS:
        return before[-1:] == ["at"]
    if before[-1:] == ["the"]:
        before.pop()
    return units[noun].text in _SEASONS and before[-1:] in (["in"], ["during"])


def _is_activity(run: Sequence[_Unit], before: str) -> bool:
    alone = len(run) == 1 and before != "determiner"
    return alone and run[0].text.endswith("ing") and is_participle(run[0].text)


def _phrase(caption: str, run: Sequence[_Unit], following: str) -> Phrase:
    start, end = run[0].start, run[-1].end
    text = " ".join(caption[start:end].casefold().split())
    before = run[-2].text if len(run) > 1 else ""
    return Phrase(text, lemma(run[-1].text, before, following), start, end)


def _run(units: Sequence[_Unit], first: int) -> int:
    """Index after the run of modifiers and nouns that begins at `first` (`first`: none does)."""
    before = units[first - 1].kind if first else "start"
    position, seen_noun = first, False
    while position < len(units):
        kind = units[position].kind
        after = units[position + 1].kind if position + 1 < len(units) else "end"
        last = units[position - 1].kind if position > first else before
        if position == first and before == "auxiliary" and units[first].text.endswith("ing"):
            break  # `is stacking rocks`, whatever the tagger made of it
        if kind == "noun":
            seen_noun = True
        elif kind == "number":
            if position == first or after not in _DESCRIBED:
                break
        elif kind == "participle":
            if after not in _DESCRIBED or not _is_attribute(units, position, first):
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


def _is_attribute(units: Sequence[_Unit], position: int, first: int) -> bool:
    """Whether the participle describes what follows (`braided hair`) and is nobody's doing."""
    text, following = units[position].text, units[position + 1].text
    last = units[position - 1] if position else None
    known = text in _DESCRIBING_ING or (text in _FOR_DOING and lemma(following) in _USED)
    known = known or text in _AFTER_NOUNS
    if last is None:
        return known or not text.endswith("ing")
    if last.kind == "noun" and position > first:
        return known and not is_plural(last.text)
    if last.kind in {"determiner", "modifier", "adverb"} and text not in ALWAYS_DONE:
        opener = units[first - 1] if first else None
        article = opener is not None and opener.kind == "determiner"
        if known or not text.endswith("ing") or (article and opener.text not in _PRONOUNS):
            return True
        return last.kind == "modifier" and last.text not in COLOURS
    if last.kind in {"preposition", "verb", "participle", "number", "and"}:
        return known or not text.endswith("ing")
    return False


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
    return hyphen.text in HYPHENS and touching


def _unit(caption: str, first: Word, last: Word) -> _Unit:
    text = caption[first.start : last.end].casefold()
    kind = _kind(last, text)
    if first is not last and kind != "noun":
        kind = "noun" if text in _PSEUDO else "modifier"
    return _Unit(kind, text, first.start, last.end)


def _kind(word: Word, text: str) -> str:
    if word.tag == "ADJ":
        return "determiner" if text in _QUANTIFIERS else "modifier"
    if word.tag in {"NOUN", "PROPN"}:
        return "modifier" if text in COLOURS or text in _ADJECTIVES else "noun"
    if word.tag == "VERB":
        return "participle" if is_participle(text) or text.endswith("ing") else "verb"
    if word.tag == "ADV":
        return "adverb" if text.endswith("ly") else "other"
    if word.tag == "PRON":
        return "determiner" if text in {"his", "her", "its", "their", "my", "our"} else "other"
    if word.tag == "CCONJ":
        return "and" if text in {"and", "or", "&"} else "other"
    if text == ",":
        return "comma"
    if word.tag == "SCONJ":
        return "preposition" if text in _ALSO_PREPOSITIONS else "other"
    return _KINDS.get(word.tag, "other")
