"""Noun or verb: what English grammar says where a tagger may take the one for the other.

In captions a tagger errs above all on words that are both (`two men stand outside`, `a rope
swing`) and on nouns that it seldom saw. Number settles many of them: `a dog waits` has a verb, for
`a` needs a singular; `men stand` has one, for a plural hardly ever describes a noun; `a rope swing`
has none, for the verb would be `swings`. Place settles others: what ends a phrase that an article
began is a noun (`a sled`); between a singular and an article (`a clown twirls a cane`) stands a
verb, as it does after a colour that is worn (`a man in black waits`).
"""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.models.parser.lemmas import is_plural, lemma
from pipeline.models.parser.verbs import FORMS, PLAIN, Form
from pipeline.models.parser.vocabulary import (
    ADJECTIVE_ENDINGS,
    ALWAYS_DONE,
    BESIDE,
    CAUSING,
    COLLECTIVES,
    COLOURS,
    COUNTS,
    DEMANDS,
    DESCRIBING,
    DONE,
    FORCES,
    FUNCTION_WORDS,
    GARMENTS,
    HYPHENS,
    MADE_IN_ING,
    METALS,
    NEVER_NOUNS,
    NOMINAL,
    OBJECTS,
    OPENERS,
    PARTICLES,
    PLACES,
    PLURAL_QUANTIFIERS,
    POSES,
    PREPOSITIONS,
    SINGULAR_ARTICLES,
    SPORTS,
    STANCES,
    SUBJECTS,
    THINGS_IN_ING,
    WEARING,
    WORN_PLURALS,
    is_animate,
    is_participle,
)
from pipeline.models.parser.words import Word


def settle(words: Sequence[Word]) -> list[Word]:
    """The words, where grammar is sure that a noun is a verb or a verb a noun with that tag."""
    caption = _Caption(words)
    for at in range(len(words)):
        caption.settle(at)
    return [
        word if word.tag == tag else replace(word, tag=tag)
        for word, tag in zip(words, caption.tags, strict=True)
    ]


_TAKEN_FOR_NOUNS = frozenset({"VERB", "ADV", "PRON", "X", "INTJ"})
_FUNCTIONS = frozenset({"DET", "ADP", "CCONJ", "SCONJ", "NUM", "PUNCT", "AUX"})  # tags that stay
_NOUN_TAGS = frozenset({"NOUN", "PROPN"})
_ARTICLES = OPENERS | SINGULAR_ARTICLES
_DEFINITE = OPENERS - SINGULAR_ARTICLES


class _Caption:
    """A caption's words in lower case and their tags, settled from left to right."""

    def __init__(self, words: Sequence[Word]):
        self.words = [word.text.casefold() for word in words]
        self.tags = [word.tag for word in words]

    def settle(self, at: int) -> None:
        """Sets the tag of the word at `at`, and of the other words of what is done with it."""
        word, tag = self.words[at], self.tags[at]
        if tag in _NOUN_TAGS or tag == "ADJ":
            if word in NEVER_NOUNS:
                describes = self._tag(at + 1) in {"NOUN", "PROPN", "ADJ"} and word not in BESIDE
                self.tags[at] = "ADJ" if describes else "ADV"
            elif self.is_sport(at):
                again = at > 0 and self.words[at - 1] in SPORTS
                first = at - (again and self.tags[at - 1] not in _FUNCTIONS)
                self.tags[first : at + 2] = ["VERB"] * (at + 2 - first)
            elif self.is_verb(at):
                self.tags[at] = "VERB"
                if self.tags[at - 1] == "ADJ" and self.is_noun(at - 1):
                    self.tags[at - 1] = "NOUN"
            elif tag == "ADJ" and self.is_noun(at):
                self.tags[at] = "NOUN"
        elif tag in _TAKEN_FOR_NOUNS and self.is_noun(at):
            self.tags[at] = "NOUN"

    def is_verb(self, at: int) -> bool:
        """Whether the word, tagged as noun or adjective, is a verb after all."""
        if at == 0 or self._joined(at):
            return False
        word, before, tag = self.words[at], self.words[at - 1], self.tags[at - 1]
        form = FORMS.get(word, Form.NONE)
        if word in ALWAYS_DONE:
            return True
        if word.endswith("ing") and self.words[max(at - 2, 0) : at] == ["each", "other"]:
            return True
        if word.endswith("ing"):
            return len(word) > 5 and word not in THINGS_IN_ING and self._is_doing(at)
        if self._is_worn(at - 1):
            if form & Form.THIRD:
                garment = word in GARMENTS and not self._has_object(at)
                return not garment and not self._many(at)
            bare = form & Form.BASE and (word in PLAIN or word in POSES)
            return bool(bare) and self._tag(at + 1) != "NOUN" and self._many(at)
        if before in COLOURS:
            return False
        if tag in _NOUN_TAGS:
            return self._is_finite(at, form)
        if tag == "ADJ" and form & Form.THIRD:  # `a grey kettle boils`, with a kettle not known
            first = self._opener(at)
            return first >= 0 and self.words[first] in SINGULAR_ARTICLES
        if tag == "ADV" and form & Form.BASE and word in STANCES:
            return self._many(at)
        if (
            before in {*PARTICLES, "on"} and word in PLAIN and form & Form.THIRD
        ):  # `a cape on leans`
            return self._has_noun(at)
        if before in SUBJECTS and tag in {"PRON", "NUM"}:
            return bool(form & (Form.THIRD if tag == "NUM" else Form.THIRD | Form.BASE))
        if tag in {"CCONJ", "SCONJ"} and form & Form.THIRD:
            goes_on = self._tag(at + 1) not in {"NOUN", "PROPN", "ADJ", "CCONJ"}
            return goes_on and (word in PLAIN or word in POSES) and self._has_noun(at)
        return False

    def is_sport(self, at: int) -> bool:
        """Whether the noun is the first word of something done, `rock climbing`."""
        if self.words[at] not in SPORTS or self._joined(at) or self._tag(at + 1) in _FUNCTIONS:
            return False
        following = self._word(at + 1)
        tag = self.tags[at - 1] if at else "START"
        if following.endswith("ing") and following[:-3] in DONE:
            after = FORMS.get(self._word(at + 2), Form.NONE)
            compound = self._tag(at + 2) in _NOUN_TAGS and not after & Form.THIRD
            return not compound and tag not in {"DET", "ADJ", "ADP", "PRON"}
        stem = following.removesuffix("s").removesuffix("e")
        first = at - 1 - (at > 1 and self.words[at - 1] in SPORTS)
        doer = at > 0 and is_animate(lemma(self.words[first]))
        return stem in DONE and (tag == "PART" or doer)

    def is_noun(self, at: int) -> bool:
        """Whether the word, tagged as verb, adjective or adverb, is a noun after all."""
        word, tag = self.words[at], self.tags[at]
        form = FORMS.get(word, Form.NONE)
        if self._joined(at) or not word.isalpha() or word in FUNCTION_WORDS:
            return False
        if is_plural(word) and (not word.endswith("s") or (tag == "ADJ" and word not in PLAIN)):
            return True  # `geese`; and no adjective is a plural
        if tag in {"PRON", "X", "INTJ"}:
            described = len(word) > 5 and self._tag(at - 1) in {"DET", "ADJ"}
            return form is Form.NONE and (described or is_animate(word))
        if tag == "ADJ":
            alone = word in NOMINAL or word.endswith(ADJECTIVE_ENDINGS) or is_participle(word)
            cut = at + 1 == len(self.words) and self._word(at - 1) not in _DEFINITE
            return not alone and not cut and self._ends_phrase(at)  # cut off: `on a speckled`
        if tag == "ADV":
            return not word.endswith("ly") and self._ends_phrase(at)
        if is_participle(word) or self._has_object(at):
            return False
        first = self._opener(at, {"ADJ"})
        opener = self.words[first] if first >= 0 else ""
        if opener in OPENERS and not (opener == "her" and word in PLAIN):
            other = self.words[at - 1] in NOMINAL and form is not Form.NONE
            other = other and opener not in SINGULAR_ARTICLES
            describes = word not in PLAIN and self._tag(at + 1) in _NOUN_TAGS
            return not other and (describes or not self._noun_follows(at))
        if at and self.words[at - 1] in PREPOSITIONS and self.tags[at - 1] == "ADP":
            return not form & Form.THIRD or not (word in PLAIN or word in POSES)
        return self._is_compound(at, form)

    def _is_doing(self, at: int) -> bool:
        """Whether a word in -ing says what the noun or the worn colour before it does."""
        before, tag, following = self.words[at - 1], self.tags[at - 1], self._tag(at + 1)
        if before in COLOURS or self._is_worn(at - 1):
            return self._is_worn(at - 1) and following not in _NOUN_TAGS
        if tag not in _NOUN_TAGS:
            return False
        if self.words[at] in MADE_IN_ING:
            return self._has_object(at) or is_animate(before) or before == "sun"
        return following not in _NOUN_TAGS or is_animate(before) or is_plural(before)

    def _is_finite(self, at: int, form: Form) -> bool:
        """Whether the word after a noun agrees with it as a verb and not as a noun."""
        word, before = self.words[at], self.words[at - 1]
        if form & Form.PAST and word.endswith("n") and self._tag(at + 1) in {"ADP", "ADV"}:
            return True  # `a ball thrown at him`
        if is_plural(before):
            if before in DESCRIBING and not (before in WORN_PLURALS and form):
                return False
            if form & (Form.BASE | Form.THIRD):
                return True
            counted = self._counted(at) and self._tag(at + 1) not in _NOUN_TAGS
            return not is_plural(word) and (counted or self._has_object(at))
        if is_plural(word):
            if self._has_object(at):
                return True
            first = self._opener(at)
            article = first >= 0 and self.words[first] in SINGULAR_ARTICLES
            article = article and before not in COUNTS
            if form & Form.THIRD:
                sure = article or word in PLAIN or before in PLACES | FORCES or is_animate(before)
                return sure or self._word(at + 1) in PARTICLES or self._tag(at + 1) in _NOUN_TAGS
            return article and self._tag(at + 1) not in _NOUN_TAGS
        if not form & Form.BASE or self.words[at - 2 : at] == ["hot", "dog"]:
            return False
        if is_animate(before) and self._is_second(at):
            return True
        if self._tag(at + 1) in {"NOUN", "PROPN", "ADJ"}:
            return False
        if before in COLLECTIVES:
            return True
        if is_animate(before):
            first = self._opener(at)
            caused = first > 0 and self.words[first - 1] in CAUSING
            bare = (word in PLAIN or word in STANCES) and self._tag(at + 1) in {"ADP", "ADV"}
            return caused or bare
        bare = word in STANCES and self._tag(self._opener(at)) != "DET"
        return (bare or word in PLAIN) and self._many(at)

    def _is_compound(self, at: int, form: Form) -> bool:
        """Whether the word, tagged as verb, is the last part of a compound or a plain noun."""
        if not at and form is Form.NONE:
            return True
        if not at:  # `Sled dogs`
            titled = form & Form.BASE and self.words[0] not in PLAIN | DEMANDS
            return bool(titled) and self._tag(1) in _NOUN_TAGS
        word, before, tag = self.words[at], self.words[at - 1], self.tags[at - 1]
        if tag == "ADJ" and at > 1 and self.tags[at - 2] == "VERB" and word not in PLAIN:
            return not self._is_worn(at - 1)  # `pulling odd faces`
        if form & Form.THIRD:
            return False
        if tag == "NUM":
            return is_plural(word) and before != "one"
        if tag in {"ADJ", "CCONJ", "VERB"}:
            return form is Form.NONE
        if tag not in _NOUN_TAGS or is_plural(before):
            return False
        if is_animate(before) and (form is not Form.NONE or word.endswith("ing")):
            return False
        first = self._opener(at)
        if before == "sun" or (first > 0 and self.words[first - 1] in CAUSING):
            return False  # `the sun setting`, `making his cape fly`
        article = first >= 0 and self.words[first] in SINGULAR_ARTICLES
        if form is Form.NONE and is_plural(word):
            clause = first >= 0 and self.tags[first] == "SCONJ" and self._tag(at + 1) != "VERB"
            return not article and not clause
        return form is Form.NONE or ((article or word not in PLAIN) and not self._many(at))

    def _joined(self, at: int) -> bool:
        """Whether a hyphen stands beside the word."""
        words = self.words
        return (at > 0 and words[at - 1] in HYPHENS) or (
            at + 1 < len(words) and words[at + 1] in HYPHENS
        )

    def _word(self, at: int) -> str:
        return self.words[at] if 0 <= at < len(self.words) else ""

    def _tag(self, at: int) -> str:
        if at < 0:
            return "START"
        return self.tags[at] if at < len(self.tags) else "END"

    def _noun_follows(self, at: int) -> bool:
        """Whether a noun or an adjective is next, and no word in -ing that goes on with a verb."""
        if is_participle(self._word(at + 1)) and self._tag(at + 2) not in _NOUN_TAGS:
            return False
        return self._tag(at + 1) in {"NOUN", "PROPN", "ADJ"}

    def _has_object(self, at: int) -> bool:
        """Whether an article or a pronoun follows, as it may after a verb only."""
        following = self._tag(at + 1)
        if following == "DET":
            return True
        return following == "PRON" and self.words[at + 1] in OBJECTS

    def _opener(self, at: int, inner: frozenset[str] | set[str] = _NOUN_TAGS | {"ADJ"}) -> int:
        """Index of the word before the nouns and adjectives in front of `at`; -1 for none."""
        first = at - 1
        while first >= 0 and (
            self.tags[first] in inner
            or (self.words[first] == "and" and self._word(first - 1) in COLOURS)
            or (self.tags[first] == "VERB" and self._is_past(first) and first > 0)
        ):
            first -= 1
        return first

    def _is_past(self, at: int) -> bool:
        return not self.words[at].endswith("ing") and is_participle(self.words[at])

    def _ends_phrase(self, at: int) -> bool:
        """Whether the phrase that an article or a number began has its only noun here."""
        following = self._tag(at + 1)
        if following == "VERB" and self._tag(at + 2) in {"NOUN", "PROPN", "ADJ"}:
            if self.words[at + 1].endswith(("ed", "ing")):
                return False  # `a long haired goat`
        elif self._word(at + 1) == ",":
            if self._tag(at + 2) in {"ADJ", "NOUN", "PROPN", "CCONJ", "NUM", "ADV", "DET"}:
                return False  # `a large, brown dog`
        elif following not in {"VERB", "AUX", "ADP", "END"} and self.words[at + 1] != ".":
            return False
        last = self._tag(at - 1)
        predicate = last == "NOUN" or (last == "VERB" and self._tag(at - 2) != "DET")
        if predicate and self.tags[at] == "ADJ":
            return False  # `his plate licked clean`
        first = self._opener(at)
        if first < 0:
            return False
        if self.words[first] in SINGULAR_ARTICLES and following == "VERB":
            form = FORMS.get(self.words[at + 1], Form.NONE)
            return not form & Form.BASE or bool(form & Form.PAST)  # `a grim look`
        return self.words[first] in _ARTICLES or (
            self.tags[first] == "NUM" and is_plural(self.words[at])
        )

    def _is_worn(self, at: int) -> bool:
        """Whether the colour at `at` is what somebody wears: `in black`, `in black and white`."""
        word = self.words[at]
        if word not in COLOURS and not (word in METALS and self.tags[at] == "ADJ"):
            return False
        first = at - 1
        while first > 0 and (self.words[first] in COLOURS or self.words[first] == "and"):
            first -= 1
        return first >= 0 and self.words[first] in WEARING

    def _is_second(self, at: int) -> bool:
        """Whether the noun before `at` is the second of two: `a man and a woman`."""
        first = self._opener(at)
        while first > 0 and self.tags[first] in {"DET", "PRON", "NUM"}:
            first -= 1
        return first > 0 and self.words[first] == "and" and self.tags[first - 1] in _NOUN_TAGS

    def _many(self, at: int) -> bool:
        """Whether the clause up to `at` has a plural subject, as far as seen, and no verb yet."""
        start = at
        while start and self.tags[start - 1] != "SCONJ" and self.words[start - 1] != ".":
            start -= 1
            word, tag = self.words[start], self.tags[start]
            if tag == "AUX" or (tag == "VERB" and not word.endswith(("ing", "ed"))):
                return False
        places = range(start, at)
        if any(
            self.words[place] == "and" and self.words[place + 1] not in COLOURS for place in places
        ):
            return True
        nouns = [place for place in places if self.tags[place] in _NOUN_TAGS]
        heads = (self.words[n] for n in nouns if self._tag(n + 1) not in _NOUN_TAGS)
        head = next(heads, "")
        return is_plural(head) or head in COLLECTIVES

    def _counted(self, at: int) -> bool:
        """Whether the phrase before `at` has a numeral or a quantifier that needs a plural."""
        first = self._opener(at)
        if first >= 0 and self.tags[first] == "NUM":
            return self.words[first] not in {"one", "1"}
        return any(word in PLURAL_QUANTIFIERS for word in self.words[max(first, 0) : at])

    def _has_noun(self, at: int) -> bool:
        """Whether a singular noun, which may be the subject, stands before `at`."""
        return any(
            tag in _NOUN_TAGS and not is_plural(word)
            for word, tag in zip(self.words[:at], self.tags[:at], strict=True)
        )
