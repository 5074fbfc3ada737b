"""The rule itself, on captions tagged by hand: no spaCy model is involved."""

import pytest

from pipeline.models.parser.noun_phrases import Phrase, Word, find_phrases

_TAGS = {"a": "DET", "the": "DET", "of": "ADP", "on": "ADP", "in": "ADP", "and": "CCONJ"}
_TAGS |= {",": "PUNCT", "-": "PUNCT", ".": "PUNCT", "is": "AUX", "his": "PRON", "'s": "PART"}


def tagged(text: str) -> tuple[str, list[Word]]:
    """`a red/ADJ ball` to a caption and its words: NOUN unless marked; `~` glues to the left."""
    caption, words = "", []
    for piece in text.split():
        glued, piece = piece.startswith("~"), piece.removeprefix("~")
        form, _, tag = piece.partition("/")
        caption += "" if glued or not caption else " "
        words.append(Word(form, tag or _TAGS.get(form.lower(), "NOUN"), "", len(caption)))
        caption += form
    return caption, words


def phrases(text: str) -> list[str]:
    return [found.phrase for found in find_phrases(*tagged(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red/ADJ ball and the blue/ADJ cube", ["red ball", "blue cube"]),
        ("two/NUM dogs and his old/ADJ tennis balls", ["dogs", "old tennis balls"]),
        ("a dog , cat and bird", ["dog", "cat", "bird"]),
        ("several/ADJ other/ADJ people", ["people"]),
        ("a very/ADV large/ADJ dog", ["large dog"]),
        ("a black/ADJ and white/ADJ dog", ["black and white dog"]),
        ("a red/ADJ , white/ADJ , and blue/ADJ flag", ["red, white, and blue flag"]),
        ("a large/ADJ , brown/ADJ dog", ["large, brown dog"]),
        ("the sky is blue/ADJ and green/ADJ grass", ["sky", "green grass"]),
        ("a smiling/VERB woman", ["smiling woman"]),
        ("a young/ADJ smiling/VERB woman riding/VERB bikes", ["young smiling woman", "bikes"]),
        ("a brightly/ADV colored/VERB kite", ["brightly colored kite"]),
        ("people riding/VERB horses", ["people", "horses"]),
        ("a man 's hat", ["man", "hat"]),
        ("a t ~- ~shirt", ["t-shirt"]),
        ("a two/NUM ~- ~story house", ["two-story house"]),
        ("a well/ADV ~- ~dressed/VERB man", ["well-dressed man"]),
        ("a number 7/NUM jersey", ["number 7 jersey"]),
        ("player number 7/NUM", ["player number"]),
        ("a/DET couple dogs", ["dogs"]),
        ("a parking lot", ["parking lot"]),
    ],
)
def test_runs(text, expected):
    text = text.replace(" ,", " ~,")
    assert phrases(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a group of people", ["people"]),
        ("a large/ADJ group of people", ["people"]),
        ("a picture of a dog", ["dog"]),
        ("a close/ADJ ~- ~up/ADP of a flower", ["flower"]),
        ("a side view of a car", ["car"]),
        ("a row of houses", ["houses"]),
        ("a painting of a fox", ["fox"]),
        ("a painting on the wall", ["painting", "wall"]),
        ("on the left and in the background", []),
        ("on a striped/ADJ gray/ADJ background", []),
        ("in front of a house", ["house"]),
        ("on top of a hill", ["hill"]),
        ("a woman in a red/ADJ top", ["woman", "red top"]),
        ("the far/ADJ corner", []),
        ("a street corner", ["street corner"]),
        ("a man in black", ["man"]),
        ("the edge of the water", ["water"]),
        ("people surfing/NOUN", ["people surfing"]),
        ("he/PRON goes/VERB surfing in clothing", ["clothing"]),
        ("he/PRON sees/VERB a building", ["building"]),
        ("a baby is stacking/ADJ rocks", ["baby", "rocks"]),
    ],
)
def test_words_that_are_no_objects(text, expected):
    assert phrases(text) == expected


def test_offsets_head_and_case():
    caption, words = tagged("The Big/ADJ Dogs and the Big/ADJ Dogs")
    words = [Word(w.text, w.tag, "Dog" if w.text == "Dogs" else w.text, w.start) for w in words]
    found = find_phrases(caption, words)
    assert found == [Phrase("big dogs", "dog", 4, 12), Phrase("big dogs", "dog", 21, 29)]
    assert [caption[p.start : p.end] for p in found] == ["Big Dogs", "Big Dogs"]


def test_head_of_a_hyphenated_noun_and_without_lemma():
    caption, words = tagged("T ~- ~Shirts")
    words[-1] = Word("Shirts", "NOUN", "shirt", words[-1].start)
    assert find_phrases(caption, words)[0].head == "t-shirt"
    assert find_phrases(*tagged("Cats"))[0].head == "cats"


def test_white_space_in_a_phrase_is_single():
    words = [Word("red", "ADJ", "red", 0), Word("ball", "NOUN", "ball", 6)]
    assert find_phrases("red \n ball", words) == [Phrase("red ball", "ball", 0, 10)]


def test_nothing_to_find():
    assert find_phrases("", []) == []
    assert phrases("is on ,") == []


@pytest.mark.parametrize(
    ("text", "last_lemma", "expected"),
    [
        ("a race car zooms", "zoom", ["race car"]),
        ("a dog waits", "wait", ["dog"]),
        ("the tennis balls", "ball", ["tennis balls"]),
        ("a tour bus", "bu", ["tour bus"]),
        ("a sports bra", "bra", ["sports bra"]),
    ],
)
def test_verbs_taken_for_nouns(text, last_lemma, expected):
    caption, words = tagged(text)
    words[-1] = Word(words[-1].text, "NOUN", last_lemma, words[-1].start)
    assert [found.phrase for found in find_phrases(caption, words)] == expected
